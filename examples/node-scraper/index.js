// Reads the headlines of a page. It fails when it finds none, so that a redesign of the page is noticed.
import { load } from "cheerio"

export default async ({ input, env }) => {
  const response = await fetch(env.PAGE, { headers: { "user-agent": "headlines (ops@example.com)" } })
  if (!response.ok) throw new Error(`${env.PAGE} answered ${response.status}`)
  const $ = load(await response.text())
  const headlines = $("article h2 a")
    .slice(0, input.most ?? 10)
    .map((_, link) => ({
      title: $(link).text().trim(),
      url: new URL($(link).attr("href"), env.PAGE).href,
    }))
    .get()
  if (headlines.length === 0) throw new Error("No headlines: has the page changed?")
  console.log(`${headlines.length} headlines, the first: ${headlines[0].title}`)
  return { headlines }
}
