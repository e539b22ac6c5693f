// Verifies with the senders' own libraries what we have signed, and signs with them; JSON on stdin and stdout.
import { readFileSync } from "node:fs"
import { Webhook as StandardWebhook } from "standardwebhooks"
import Stripe from "stripe"
import { Webhook as SvixWebhook } from "svix"

const { body, at, id, cases, stripe: secrets } = JSON.parse(readFileSync(0, "utf8"))
const libraries = { webhook: StandardWebhook, svix: SvixWebhook }
const stripe = new Stripe("sk_test_none")

function accepts(action) {
  try {
    action()
    return true
  } catch (error) {
    if (!/signature/i.test(`${error.name} ${error.message}`)) throw error
    return false
  }
}

const exchanged = []
for (const { secret, ours } of cases) {
  for (const [name, Library] of Object.entries(libraries)) {
    const library = new Library(secret)
    const headers = { [`${name}-id`]: id, [`${name}-timestamp`]: `${at}`, [`${name}-signature`]: ours }
    exchanged.push({
      name,
      secret,
      accepts: accepts(() => library.verify(body, headers)),
      acceptsAnother: accepts(() => library.verify(body + " ", headers)),
      theirs: library.sign(id, new Date(at * 1000), body),
    })
  }
}

const stripes = secrets.map((secret) => {
  const header = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at })
  return { secret, header, accepts: accepts(() => stripe.webhooks.constructEvent(body, header, secret)) }
})
console.log(JSON.stringify({ exchanged, stripes }))
