// Converts a price list into other currencies, with the rates of its settings.

type Input = { prices?: Record<string, number> }

const RATES: Record<string, number> = { USD: 1.09, GBP: 0.85, CHF: 0.96 }

export default function handler(input: Input) {
  const prices = Object.entries(input.prices ?? { "A-17": 24.9, "B-03": 119 })
  console.log(`${prices.length} prices into ${Object.keys(RATES).join(", ")}`)
  const converted = prices.map(([article, eur]) => ({
    article,
    eur,
    ...Object.fromEntries(Object.entries(RATES).map(([currency, rate]) => [currency, +(eur * rate).toFixed(2)])),
  }))
  return { converted }
}
