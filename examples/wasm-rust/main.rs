//! Describes a list of numbers. JSON on stdin, JSON on stdout, the log on stderr.

use std::io::{self, Read};

fn main() -> Result<(), String> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).map_err(|error| error.to_string())?;
    let mut numbers = numbers_of(&input)?;
    eprintln!("{} numbers", numbers.len());
    numbers.sort_by(f64::total_cmp);
    println!(
        r#"{{"count":{},"mean":{},"median":{},"p95":{}}}"#,
        numbers.len(),
        numbers.iter().sum::<f64>() / numbers.len() as f64,
        quantile(&numbers, 0.5),
        quantile(&numbers, 0.95),
    );
    Ok(())
}

/// Returns the numbers of `{"numbers": [1, 2.5]}`; a crate such as serde_json reads all of JSON.
fn numbers_of(input: &str) -> Result<Vec<f64>, String> {
    let list = input
        .split_once("\"numbers\"")
        .and_then(|(_, rest)| rest.split_once('['))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(list, _)| list)
        .ok_or("numbers must be a list")?;
    let numbers: Result<Vec<f64>, _> = list.split(',').map(|one| one.trim().parse()).collect();
    numbers.map_err(|_| format!("numbers must be numbers: [{list}]"))
}

/// Returns the value below which this part of the sorted numbers is, between two of them if need be.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    below + (sorted[place.ceil() as usize] - below) * place.fract()
}
