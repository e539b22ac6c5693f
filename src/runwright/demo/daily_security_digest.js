// Daily security digest: counts the open incidents by severity and writes the message for the channel.
// The vendor's example posts it to Slack; this one returns it, so that it runs without a network.
const SAMPLE = [
  { id: 'inc_01hxya', severity: 'critical', title: 'Impossible travel for an administrator', open: true },
  { id: 'inc_01hxyb', severity: 'high', title: 'Mass download from a file share', open: true },
  { id: 'inc_01hxyc', severity: 'low', title: 'Expired certificate on a test host', open: true },
  { id: 'inc_01hxyd', severity: 'high', title: 'Phishing mail reported by three users', open: false },
]
const ORDER = ['critical', 'high', 'medium', 'low']

module.exports = async ({ input, env }) => {
  const open = (input.incidents ?? SAMPLE).filter((incident) => incident.open)
  console.log(`Found ${open.length} open incidents`)
  const urgent = open.filter((incident) => incident.severity === 'critical')
  if (urgent.length > 0) console.warn(`${urgent.length} of them critical`)

  const counts = Object.fromEntries(ORDER.map((s) => [s, open.filter((i) => i.severity === s).length]))
  const lines = open
    .sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity))
    .map((incident) => `[${incident.severity}] ${incident.id}: ${incident.title}`)
  console.log(`Digest for ${input.channel} is ready`)
  return { success: true, channel: input.channel, counts, message: lines.join('\n') }
}
