// Fulfils an order when Stripe reports that its checkout was paid. Stripe may report it twice, and a job may be
// retried: the shop knows an order's fulfilment again by the id of the event.

module.exports = async ({ input, env }) => {
  const event = input.activation.data
  const session = event.data.object
  const order = session.client_reference_id
  console.log(`${session.amount_total} ${session.currency} for order ${order}`)
  const response = await fetch(`${env.SHOP_URL}/orders/${encodeURIComponent(order)}/fulfilment`, {
    method: "POST",
    headers: {
      "authorization": `Bearer ${env.SHOP_TOKEN}`,
      "content-type": "application/json",
      "idempotency-key": event.id,
    },
    body: JSON.stringify({ paid: session.amount_total, currency: session.currency }),
  })
  if (!response.ok) throw new Error(`The shop answered ${response.status}: ${await response.text()}`)
  return { order, events: [{ event: "custom.order-paid", payload: { order, paid: session.amount_total } }] }
}
