// Runs when GitHub reports a push to main, and asks the deploy service to roll that commit out.

type Push = { after: string; repository: { full_name: string } }
type Job = { input: { activation: { data: Push } }; env: Record<string, string> }

export default async ({ input, env }: Job) => {
  const { after: commit, repository } = input.activation.data
  console.log(`rolling out ${repository.full_name} at ${commit.slice(0, 7)}`)
  const response = await fetch(`${env.DEPLOY_URL}/rollouts`, {
    method: "POST",
    headers: {
      "authorization": `Bearer ${env.DEPLOY_TOKEN}`,
      "content-type": "application/json",
      "idempotency-key": commit, // a retry asks for the same rollout, not for a second one
    },
    body: JSON.stringify({ repository: repository.full_name, commit }),
  })
  if (!response.ok) {
    throw new Error(`The deploy service answered ${response.status}: ${await response.text()}`)
  }
  const { id } = await response.json()
  console.log(`rollout ${id} has begun`)
  return { rollout: id, events: [{ event: "custom.rolled-out", payload: { commit, rollout: id } }] }
}
