/** A program of a user: what the compiler knows about the client. Never run; each `@ts-expect-error` must be one. */

import { createRunwright, isApiError, type LogLine } from "../src/index.js";

const rw = createRunwright({ url: "https://runwright.example.com", apiKey: "key" });

export async function program(): Promise<number> {
  const { data } = await rw.ava.POST("/v1/ava/jobs", {
    params: { query: { wait: 30 } },
    body: { worker_id: "wkr_1", input: { rows: 12 } },
  });
  const id: string = data!.data.id;
  for await (const line of rw.logs(id, { level: "error" })) {
    const text: LogLine["msg"] = line.msg;
    console.log(text);
  }
  for await (const part of rw.follow(id)) {
    if (part.type === "progress") console.log(part.progress.fraction ?? 0);
    else console.log(part.line.seq);
  }
  const { data: agents } = await rw.avala.GET("/api/v1/agents/");
  const { data: automations } = await rw.agh.GET("/api/automation/jobs", { params: { query: { limit: 5 } } });
  return agents!.results.length + automations!.jobs.length;
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error  no such path
  await rw.ava.GET("/v1/ava/job");
  // @ts-expect-error  the worker is missing
  await rw.ava.POST("/v1/ava/jobs", { body: { input: {} } });
  // @ts-expect-error  not a number
  await rw.ava.GET("/v1/ava/jobs", { params: { query: { per_page: "many" } } });
  const { data } = await rw.ava.GET("/v1/ava/jobs");
  // @ts-expect-error  no such field
  console.log(data!.data[0]!.state);
  try {
    await rw.ava.GET("/v1/ava/jobs");
  } catch (error) {
    if (isApiError(error, 422)) console.log(error.fields["worker_id"]);
  }
}
