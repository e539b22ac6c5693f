// Reads {"sales": [{"city": "...", "amount": 1.5}]} on stdin and prints totals by city as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
)

type sale struct {
	City   string  `json:"city"`
	Amount float64 `json:"amount"`
}

type total struct {
	City   string  `json:"city"`
	Sales  int     `json:"sales"`
	Amount float64 `json:"amount"`
}

func main() {
	var input struct {
		Sales []sale `json:"sales"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fmt.Fprintln(os.Stderr, "the input cannot be read:", err)
		os.Exit(2)
	}
	cities := make(chan sale)
	done := make(chan map[string]*total)
	go func() {
		totals := map[string]*total{}
		for one := range cities {
			if totals[one.City] == nil {
				totals[one.City] = &total{City: one.City}
			}
			totals[one.City].Sales++
			totals[one.City].Amount += one.Amount
		}
		done <- totals
	}()
	for _, one := range input.Sales {
		cities <- one
	}
	close(cities)
	result := []*total{}
	for _, one := range <-done {
		one.Amount = math.Round(one.Amount*100) / 100
		result = append(result, one)
	}
	sort.Slice(result, func(a, b int) bool { return result[a].Amount > result[b].Amount })
	fmt.Fprintln(os.Stderr, len(input.Sales), "sales in", os.Getenv("COUNTRY"))
	json.NewEncoder(os.Stdout).Encode(map[string]any{"cities": result})
}
