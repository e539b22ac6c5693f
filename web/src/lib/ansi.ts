/** Lines of terminals as spans of text: colours and weights are kept, every other control sequence is dropped. */

export interface Span {
  text: string;
  color?: string;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
}

type Style = Omit<Span, "text">;

const COLORS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const ESCAPE = "\u001b";
/** CSI sequences, OSC strings (links, titles) up to their end, and other two-character escapes. */
// eslint-disable-next-line no-control-regex
const SEQUENCE = /\u001b(?:\[([0-9;:?<=>]{0,64})[ -/]{0,4}([@-~])|\][^\u0007\u001b]{0,4096}(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const MOST_SPANS = 500;

/** Return the spans of a line. */
export function spansOf(line: string): Span[] {
  if (!line.includes(ESCAPE)) return [{ text: plain(line) }];
  const spans: Span[] = [];
  let style: Style = {};
  let last = 0;
  const add = (text: string) => void (text && spans.push({ text: plain(text), ...style }));
  for (const found of line.matchAll(SEQUENCE)) {
    add(line.slice(last, found.index));
    last = found.index + found[0].length;
    if (found[2] === "m") style = changed(style, found[1] ?? "");
    if (spans.length >= MOST_SPANS) break;
  }
  add(spans.length >= MOST_SPANS ? strip(line.slice(last)) : line.slice(last));
  return spans.length ? spans : [{ text: "" }];
}

/** Return a line without its control sequences. */
export function strip(line: string): string {
  return plain(line.replace(SEQUENCE, ""));
}

/** Replace characters that have no place in a line: controls, and those that turn its direction. */
function plain(text: string): string {
  return text.replace(CONTROL, (character) => (character === ESCAPE ? "" : "\ufffd"));
}

function changed(style: Style, codes: string): Style {
  let next: Style = { ...style };
  const numbers = codes.split(/[;:]/).map((code) => Number(code || 0));
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index] as number;
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 22) next = without(next, "bold", "dim");
    else if (code === 23) next = without(next, "italic");
    else if (code === 24) next = without(next, "underline");
    else if (code >= 30 && code <= 37) next.color = COLORS[code - 30] as string;
    else if (code >= 90 && code <= 97) next.color = COLORS[code - 90] as string;
    else if (code === 39) next = without(next, "color");
    else if (code === 38 || code === 48) {
      const arguments_ = numbers[index + 1] === 5 ? 2 : numbers[index + 1] === 2 ? 4 : 0;
      if (code === 38 && numbers[index + 1] === 5) next = withPalette(next, numbers[index + 2] ?? 0);
      index += arguments_;
    }
  }
  return next;
}

function withPalette(style: Style, number: number): Style {
  return number < 16 ? { ...style, color: COLORS[number % 8] as string } : without(style, "color");
}

function without(style: Style, ...names: (keyof Style)[]): Style {
  return Object.fromEntries(Object.entries(style).filter(([name]) => !names.includes(name as keyof Style)));
}
