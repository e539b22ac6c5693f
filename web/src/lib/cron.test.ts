import assert from "node:assert/strict";
import { test } from "node:test";

import { inWords } from "./cron.ts";

test("expressions in words", () => {
  const expected: Record<string, string | undefined> = {
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "0 * * * *": "Every hour",
    "15,45 * * * *": "Every hour at :15 and :45",
    "0 */6 * * *": "Every 6 hours",
    "30 */2 * * *": "Every 2 hours at :30",
    "0 9 * * MON-FRI": "At 09:00 on weekdays",
    "30 2,14 1 * *": "At 02:30 and 14:30 on the 1st of the month",
    "*/15 9-17 * * 1-5": "Every 15 minutes from 09:00 to 17:59 on weekdays",
    "0 9-17 * * *": "Every hour from 09:00 to 17:00",
    "0 8 L * *": "At 08:00 on the last day of the month",
    "0 8 * * 5#2": "At 08:00 on the second Friday of the month",
    "0 8 * * 5L": "At 08:00 on the last Friday of the month",
    "0 0 1 jan,jul *": "At 00:00 on the 1st of the month in January and July",
    "0 0 13 * FRI": "At 00:00 on the 13th of the month or on Friday",
    "0 0 */2 * MON": "At 00:00 on every 2nd day of the month, if it is Monday",
    "0 0 11,22 * *": "At 00:00 on the 11th and 22nd of the month",
    "0 9 * *": undefined,
    "x 9 * * *": undefined,
    "0 9 * 13 *": undefined,
  };
  for (const [expression, words] of Object.entries(expected)) assert.equal(inWords(expression), words, expression);
});
