// Reads {"text": "..."} on stdin and prints its most frequent words as JSON.
use std::collections::BTreeMap;
use std::io::Read;

/// The text of a JSON string that begins after its opening quote.
fn unescape(mut rest: std::str::Chars) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match rest.next().ok_or("the text does not end")? {
            '"' => return Ok(text),
            '\\' => match rest.next().ok_or("the text does not end")? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).map_err(|e| e.to_string())?;
                    text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                }
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

fn count_words(text: &str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    let mut found: Vec<_> = counts.into_iter().collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    found
}

fn main() -> Result<(), String> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).map_err(|e| e.to_string())?;
    let start = input.find("\"text\"").ok_or("the input has no text")? + 6;
    let quote = input[start..].find('"').ok_or("the text is no string")? + start + 1;
    let words = count_words(&unescape(input[quote..].chars())?);
    let most: usize = std::env::var("MOST").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    eprintln!("{} different words", words.len());
    let top: Vec<_> = words.iter().take(most).map(|(word, n)| format!("[\"{word}\",{n}]")).collect();
    println!("{{\"different\":{},\"top\":[{}]}}", words.len(), top.join(","));
    Ok(())
}
