/** What a cron expression means, in words. The server decides what is valid; this only reads what it would accept. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const DAY_NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS = [
  "January", "February", "March", "April", "May", "June",
  "July", "August", "September", "October", "November", "December",
];
const ORDINALS = ["", "first", "second", "third", "fourth", "fifth"];
const NUMBER = /^\d{1,2}$/;
const STEP = /^\*\/(\d{1,2})$/;
const RANGE = /^(\d{1,2})-(\d{1,2})$/;

/** Return a sentence without its full stop; undefined if the expression has not five fields that are understood. */
export function inWords(expression: string): string | undefined {
  const fields = expression.trim().toUpperCase().split(/\s+/);
  if (fields.length !== 5) return undefined;
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const parts = [times(minute, hour), dates(day, weekday), months(month)];
  if (parts.includes(undefined)) return undefined;
  const text = parts.filter(Boolean).join(" ");
  return text[0]?.toUpperCase() + text.slice(1);
}

function times(minute: string, hour: string): string | undefined {
  const minutes = numbers(minute);
  const hours = numbers(hour);
  if (minutes && hours && minutes.length * hours.length <= 6) {
    return `at ${list(hours.flatMap((h) => minutes.map((m) => `${two(h)}:${two(m)}`)))}`;
  }
  const each = eachMinute(minute);
  if (each === undefined) return undefined;
  const every = STEP.exec(hour);
  const within = RANGE.exec(hour);
  if (hour === "*") return minutes ? (minute === "0" ? "every hour" : `every hour at ${each}`) : each;
  if (every) return minutes ? `every ${plural(Number(every[1]), "hour")}${minute === "0" ? "" : ` at ${each}`}` : `${each} of every ${ordinal(Number(every[1]))} hour`;
  if (within) {
    const last = two(Number(within[2]));
    const span = `from ${two(Number(within[1]))}:00 to ${last}:${minute === "0" ? "00" : "59"}`;
    return `${minutes ? (minute === "0" ? "every hour" : `every hour at ${each}`) : each} ${span}`;
  }
  return hours ? `${minutes ? `at ${each}` : each} of ${list(hours.map((h) => `${two(h)}:00`))}` : undefined;
}

function eachMinute(minute: string): string | undefined {
  const every = STEP.exec(minute);
  if (minute === "*") return "every minute";
  if (every) return every[1] === "1" ? "every minute" : `every ${every[1]} minutes`;
  const values = numbers(minute);
  if (values) return list(values.map((value) => `:${two(value)}`));
  const range = RANGE.exec(minute);
  return range ? `every minute from :${two(Number(range[1]))} to :${two(Number(range[2]))}` : undefined;
}

function dates(day: string, weekday: string): string | undefined {
  const days = day === "*" || day === "?" ? "" : daysOfMonth(day);
  const weekdays = weekday === "*" || weekday === "?" ? "" : daysOfWeek(weekday);
  if (days === undefined || weekdays === undefined) return undefined;
  if (!days || !weekdays) return days || weekdays || "";
  const both = day.startsWith("*") || weekday.startsWith("*");
  return both ? `${days}, if it is ${weekdays.replace(/^on /, "")}` : `${days} or ${weekdays}`;
}

function daysOfMonth(day: string): string | undefined {
  if (day === "L") return "on the last day of the month";
  if (day === "LW") return "on the last working day of the month";
  const every = STEP.exec(day);
  if (every) return `on every ${ordinal(Number(every[1]))} day of the month`;
  const range = RANGE.exec(day);
  if (range) return `from the ${ordinal(Number(range[1]))} to the ${ordinal(Number(range[2]))}`;
  const values = numbers(day);
  return values && `on the ${list(values.map(ordinal))} of the month`;
}

function daysOfWeek(text: string): string | undefined {
  const weekday = text.replace(/[A-Z]{3}/g, (name) => (DAY_NAMES.includes(name) ? String(DAY_NAMES.indexOf(name)) : name));
  if (weekday === "1-5") return "on weekdays";
  if (["0,6", "6,0", "6,7", "6-7"].includes(weekday)) return "at weekends";
  const nth = /^([0-7])#([1-5])$/.exec(weekday);
  if (nth) return `on the ${ORDINALS[Number(nth[2])]} ${DAYS[Number(nth[1])]} of the month`;
  const last = /^([0-7])L$/.exec(weekday);
  if (last) return `on the last ${DAYS[Number(last[1])]} of the month`;
  const range = /^([0-7])-([0-7])$/.exec(weekday);
  if (range) return `from ${DAYS[Number(range[1])]} to ${DAYS[Number(range[2])]}`;
  const values = numbers(weekday);
  return values?.every((value) => value <= 7) ? `on ${list(values.map((value) => DAYS[value] as string))}` : undefined;
}

function months(month: string): string | undefined {
  if (month === "*") return "";
  const numbered = month.replace(/[A-Z]{3}/g, (name) => {
    const found = MONTHS.findIndex((one) => one.slice(0, 3).toUpperCase() === name);
    return found < 0 ? name : String(found + 1);
  });
  const every = STEP.exec(numbered);
  if (every) return `in every ${ordinal(Number(every[1]))} month`;
  const range = RANGE.exec(numbered);
  if (range) return named(Number(range[1])) && named(Number(range[2])) && `from ${named(Number(range[1]))} to ${named(Number(range[2]))}`;
  const values = numbers(numbered);
  return values?.every((value) => named(value)) ? `in ${list(values.map((value) => named(value) as string))}` : undefined;
}

function named(month: number): string | undefined {
  return MONTHS[month - 1];
}

function numbers(text: string): number[] | undefined {
  const parts = text.split(",");
  return parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : undefined;
}

function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

function plural(value: number, one: string): string {
  return value === 1 ? one : `${value} ${one}s`;
}

function ordinal(value: number): string {
  const end = value % 100 >= 11 && value % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][value % 10] ?? "th");
  return `${value}${end}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
