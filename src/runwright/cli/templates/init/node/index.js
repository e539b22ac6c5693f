// A worker: what it returns is the job's output, what it prints is the job's log.
module.exports = async ({ input, env }) => {
  const name = input.name ?? "world"
  console.log("greeting", name)
  return { text: `${env.GREETING}, ${name}!` }
}
