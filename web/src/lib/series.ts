/** Jobs over time, as charts show them. */

import { api, type QueryOf, type Schemas } from "./client.ts";

export type Series = Schemas["Series"];
export type JobSeries = Schemas["JobSeries"];
export type SeriesQuery = QueryOf<"/v1/ava/jobs/series">;

export async function readSeries(query: SeriesQuery, signal?: AbortSignal): Promise<JobSeries> {
  return (await api.get("/v1/ava/jobs/series", { query, signal })).data;
}

/** Return the lines of a chart of jobs by their status, the first at the bottom. */
export function statusLines(series: Series | undefined): { label: string; values: readonly number[]; color: string }[] {
  return [
    { label: "Completed", values: series?.completed ?? [], color: "--good" },
    { label: "Failed", values: series?.failed ?? [], color: "--bad-fill" },
    { label: "Cancelled", values: series?.cancelled ?? [], color: "--line-control" },
    { label: "Running", values: series?.running ?? [], color: "--busy" },
    { label: "Queued", values: series?.queued ?? [], color: "--phase-queue" },
  ];
}
