// A worker: what it returns is the job's output, what it prints is the job's log.
type Job = { input: { name?: string }; env: Record<string, string> }

export default async ({ input, env }: Job) => {
  const name = input.name ?? "world"
  console.log("greeting", name)
  return { text: `${env.GREETING}, ${name}!` }
}
