/** The stack of an error as frames, those of the user's own code apart from those of libraries and the harness. */

export interface StackFrame {
  file: string;
  line: number | undefined;
  name: string;
  /** The line of code, where the runtime shows it. */
  code: string | undefined;
  own: boolean;
}

const PYTHON = /^\s*File "([^"]{1,500})", line (\d{1,9})(?:, in (.{1,200}))?/;
const SCRIPT = /^\s*at (?:(async )?([^()]{1,200}?) \()?((?:[a-z-]+:\/{0,3})?[^()\s]{1,500}?):(\d{1,9})(?::\d{1,9})?\)?$/;
const FOREIGN = /site-packages|dist-packages|node_modules|\/lib\/python3|^node:|^deno:|^ext:|harness|<frozen |jsr:|npm:/;
const MOST_LINES = 2_000;

/** Return the frames of a stack, the innermost first; none if its form is not known. */
export function framesOf(stack: string): StackFrame[] {
  const lines = stack.split("\n", MOST_LINES);
  const python = lines.some((line) => PYTHON.test(line));
  const frames: StackFrame[] = [];
  for (const [index, line] of lines.entries()) {
    const found = python ? PYTHON.exec(line) : SCRIPT.exec(line);
    if (!found) continue;
    const next = lines[index + 1]?.trim();
    frames.push(
      python
        ? { file: found[1] as string, line: Number(found[2]), name: found[3] ?? "", code: next && !PYTHON.test(next) ? next : undefined, own: isOwn(found[1] as string) }
        : { file: found[3] as string, line: Number(found[4]), name: found[2] ?? "", code: undefined, own: isOwn(found[3] as string) },
    );
  }
  return python ? frames.reverse() : frames;
}

function isOwn(file: string): boolean {
  return !FOREIGN.test(file);
}
