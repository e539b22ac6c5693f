"""What programs that were written for a plain process find here too; documented in docs/compatibility.md."""

import pytest

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import Stage
from tests.integration.runtimes.test_output import HANG

OF_THE_C_LIBRARY = 0x180000000
"""Two signals that it keeps to itself, and ignores in whatever it starts."""
PIPE = "while :; do echo y; done | head -n 1; grep -E 'Sig(Ign|Blk)' /proc/self/status"


@pytest.mark.parametrize("runtime", ["python", "shell", "nodejs"])
async def test_children_have_the_default_signals_and_end_when_nothing_reads_them(
    stage: Stage, runtime: str
) -> None:
    source = {
        "python": f"import subprocess\ndef handler(input, env):\n    subprocess.run(['bash', '-c', {PIPE!r}])\n",
        "nodejs": f"module.exports = () => require('child_process').execFileSync('bash', ['-c', {PIPE!r}])+''",
        "shell": PIPE,
    }[runtime]
    played = await stage.run(source, runtime=runtime)
    text = str(played.output) if runtime == "nodejs" else "\n".join(text for _, text in played.said)
    assert text.startswith("y\n")
    ignored = [int(line.split()[1], 16) & ~OF_THE_C_LIBRARY for line in text.split("\n")[1:3]]
    assert ignored == [0, 0]


@pytest.mark.parametrize("runtime", ["nodejs", "deno"])
async def test_an_error_is_reported_with_its_causes_and_its_own_properties(
    stage: Stage, runtime: str
) -> None:
    begin = "module.exports = " if runtime == "nodejs" else "export default "
    source = f"{begin} async () => {{ await fetch('http://nosuch.invalid/') }}"
    outcome = (await stage.run(source, runtime=runtime)).outcome
    told = f"{outcome.error_message}\n{outcome.error_stack}"
    assert "nosuch.invalid" in told, told
    source = f"""{begin} () => {{
  const all = new AggregateError([new RangeError('first'), new Error('second')], 'both failed')
  throw Object.assign(new Error('top', {{ cause: all }}), {{ code: 'E_TOP', errno: -5 }})
}}"""
    outcome = (await stage.run(source, runtime=runtime)).outcome
    assert (
        outcome.error_message == "top (cause: AggregateError: both failed (RangeError: first; Error: second))"
    )
    assert outcome.error_stack is not None
    for part in ("E_TOP", "-5", "AggregateError: both failed", "RangeError: first", "Error: second"):
        assert part in outcome.error_stack
    assert "harness" not in outcome.error_stack
    source = f"{begin} () => {{ const e = new Error('top'); e.cause = new TypeError('x', {{ cause: e }}); throw e }}"
    outcome = (await stage.run(source, runtime=runtime)).outcome
    assert outcome.error_message == "top (cause: TypeError: x (cause: [circular]))"


async def test_a_python_traceback_shows_the_users_frames_only(stage: Stage) -> None:
    source = "import asyncio\nasync def handler(input, env):\n    await asyncio.sleep(0)\n    raise ValueError('x')\n"
    stack = (await stage.run(source)).outcome.error_stack
    assert stack is not None
    assert [line for line in stack.splitlines() if "File" in line] == [
        '  File "/work/main.py", line 4, in handler'
    ]


@pytest.mark.parametrize("runtime", ["python", "nodejs", "deno"])
async def test_half_a_character_is_replaced_and_fails_nothing(stage: Stage, runtime: str) -> None:
    source = {
        "python": "def handler(input, env):\n    print('log \\ud83d')\n"
        "    if input.get('fail'):\n        raise ValueError('bad \\ud83d')\n"
        "    return ['cut \\ud83d', '\\ud83d\\ude00', '\\\\ud83d', 'é😀', {'\\udce9': 1}]\n",
        "nodejs": "module.exports = ({input}) => { console.log('log \\ud83d');"
        " if (input.fail) throw new TypeError('bad \\ud83d');"
        " return ['cut 😀'.slice(0, 5), '😀', '\\\\ud83d', 'é😀', {'\\udce9': 1}] }",
        "deno": "export default ({input}: any) => { console.log('log \\ud83d');"
        " if (input.fail) throw new TypeError('bad \\ud83d');"
        " return ['cut 😀'.slice(0, 5), '😀', '\\\\ud83d', 'é😀', {'\\udce9': 1}] }",
    }[runtime]
    played = await stage.run(source, runtime=runtime)
    assert played.output == ["cut \ufffd", "😀", "\\ud83d", "é😀", {"\ufffd": 1}]
    assert played.said == [("info", "log \ufffd")]
    failed = await stage.run(source, runtime=runtime, input=b'{"fail": true}')
    assert failed.outcome.error_message.endswith("Error: bad \ufffd")


LAST_LINES = {
    b"1e99999": "1e99999",
    b"512e123": "512e123",
    b"1.10": "1.10",
    b"1" * 30: "1" * 30,
    b"0755": "0755",
    b"-0": "-0",
    b"42": 42,
    b"-1.5": -1.5,
    b"NaN": "NaN",
    b'{\n  "a": [1e5]\n}': {"a": [100000.0]},
    b'{"a": 1}\n\n': {"a": 1},
    b'log\n{"a": 1}\n\n': {"a": 1},
    b'{"a": 1e999}': '{"a": 1e999}',
    b'"half \\ud83d"': "half \ufffd",
    b"true": True,
}


@pytest.mark.parametrize("runtime", ["shell", "wasm"])
async def test_what_looks_like_json_is_judged_once_and_a_number_only_if_it_prints_as_it_was_written(
    stage: Stage, runtime: str
) -> None:
    for text, expected in LAST_LINES.items():
        if runtime == "shell":
            source = f"cat <<'EOF'\n{text.decode()}\nEOF"
        else:
            data = "".join(f"\\{byte:02x}" for byte in text)
            source = HANG["wasm"].format("").replace('"calling … "', f'"{data}"')
            source = source.replace("(i32.const 12)", f"(i32.const {len(text)})")
        played = await stage.run(source, runtime=runtime)
        assert played.outcome.status is OutcomeStatus.COMPLETED, (text, played.outcome)
        assert played.output == expected, text
    if runtime == "shell":
        played = await stage.run("printf '\"\\\\ud83d\"' > $AVA_OUTPUT", runtime="shell")
        assert played.output == "\ufffd"


async def test_stdout_of_a_module_that_fails_is_in_the_log(stage: Stage) -> None:
    played = await stage.run(HANG["wasm"].format("(unreachable)"), runtime="wasm")
    assert played.outcome.status is OutcomeStatus.FAILED
    assert ("info", "calling … ") in played.said


async def test_the_user_that_runs_exists_and_etc_is_usable(stage: Stage) -> None:
    source = """
import os, pwd, grp, getpass, socket, mimetypes, platform, subprocess
def handler(input, env):
    own, run = pwd.getpwuid(os.getuid()), lambda command: subprocess.check_output(command, shell=True, text=True)
    return {
        "user": [own.pw_name, own.pw_dir, pwd.getpwnam("worker").pw_uid == os.getuid(), getpass.getuser(),
                 grp.getgrgid(os.getgid()).gr_name, os.path.expanduser("~worker"), run("whoami").strip()],
        "ports": [socket.getservbyname("https"), socket.getprotobyname("udp")],
        "files": [f for f in ("services", "protocols", "mime.types", "fonts/fonts.conf", "os-release", "hostname",
                              "mtab", "shells") if not os.path.exists("/etc/" + f)],
        "name": bool(platform.freedesktop_os_release()["ID"]),
        "tput": run("set -e; tput bold > /dev/null; tput setaf 1 > /dev/null; tput sgr0 > /dev/null; echo ok"),
        "environment": [os.environ[name] for name in ("USER", "LOGNAME", "HOME", "SHELL")],
        "of bundles": 59999 in os.getgroups(),
    }
"""
    output = (await stage.run(source)).output
    assert output == {
        "user": ["worker", "/work", True, "worker", "worker", "/work", "worker"],
        "ports": [443, 17],
        "files": [],
        "name": True,
        "tput": "ok\n",
        "environment": ["worker", "worker", "/work", "/bin/sh"],
        "of bundles": False,
    }
    source = "module.exports = () => [require('os').userInfo().username, require('os').homedir()]"
    assert (await stage.run(source, runtime="nodejs")).output == ["worker", "/work"]
    assert (await stage.run('echo "$(whoami) $(id -un) $(id -gn)"', runtime="shell")).output == (
        "worker worker worker"
    )


@pytest.mark.parametrize("runtime", ["python", "nodejs"])
async def test_the_standard_streams_can_be_opened_by_their_names(stage: Stage, runtime: str) -> None:
    source = {
        "python": """
import logging, subprocess
def handler(input, env):
    logger = logging.getLogger("file")
    logger.addHandler(logging.FileHandler("/dev/stdout"))
    logger.warning("to stdout")
    subprocess.run("echo child | tee /dev/stderr > /dev/null", shell=True)
    try:
        open("/dev/stdout").read(1)
    except PermissionError:
        return "write only"
""",
        "nodejs": """
const fs = require('fs')
module.exports = () => {
  fs.writeFileSync('/dev/stdout', 'to stdout\\n')
  require('child_process').execSync('echo child | tee /dev/stderr > /dev/null', { stdio: 'inherit' })
  try { fs.readFileSync('/dev/stdout') } catch (error) { return error.code === 'EACCES' ? 'write only' : error.code }
}
""",
    }[runtime]
    played = await stage.run(source, runtime=runtime)
    assert sorted(played.said) == [("error", "child"), ("info", "to stdout")]
    assert played.output == "write only"


async def test_stdout_of_python_is_a_text_stream_like_any_other(stage: Stage) -> None:
    source = """
import ctypes, io, sys
def handler(input, env):
    out = sys.stdout
    kinds = [isinstance(out, io.TextIOWrapper), isinstance(out.buffer, io.BufferedWriter),
             isinstance(out.buffer.raw, io.RawIOBase), out is sys.__stdout__, sys.stderr is sys.__stderr__]
    out.reconfigure(encoding="utf-8", line_buffering=True, errors="replace")
    facts = [out.encoding, out.line_buffering, out.isatty(), out.name, out.mode, out.fileno(), out.writable()]
    print("original", file=sys.__stdout__)
    out.buffer.write("é in bytes\\n".encode())
    out.buffer.raw.write(b"raw\\n")
    ctypes.CDLL(None).printf(b"from C\\n")
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
    print("rewrapped")
    return [kinds, facts, exit.__class__.__name__, sys.argv]
"""
    played = await stage.run(source)
    assert played.output == [
        [True] * 5,
        ["utf-8", True, False, "<stdout>", "w", 1, True],
        "Quitter",
        ["/work/main.py"],
    ]
    lines = ["from C", "original", "raw", "rewrapped", "é in bytes"]
    assert sorted(text for _, text in played.said) == lines
    again = await stage.run("def handler(input, env):\n    print('next')\n")
    assert again.said == [("info", "next")]


async def test_what_python_prints_follows_a_redirected_descriptor_until_the_job_ends(stage: Stage) -> None:
    source = """
import os, subprocess, sys
def handler(input, env):
    if input == "look":
        print("printed")
        subprocess.run(["echo", "by a child"])
        return None
    kept = os.dup(1)
    os.dup2(os.open("/tmp/captured", os.O_RDWR | os.O_CREAT), 1)
    print("captured")
    print("without an end", end="")
    subprocess.run(["echo", ", and a child"])
    found = open("/tmp/captured").read()
    if input != "leave":
        os.dup2(kept, 1)
        print("restored")
    return found
"""
    played = await stage.run(source, input=b'"restore"')
    assert played.output == "captured\nwithout an end, and a child\n"
    assert played.said == [("info", "restored")]
    assert (await stage.run(source, input=b'"leave"')).said == []
    assert sorted(text for _, text in (await stage.run(source, input=b'"look"')).said) == [
        "by a child",
        "printed",
    ]


async def test_streams_and_error_listeners_of_node_behave_as_nodes_own(stage: Stage) -> None:
    source = """
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
process.on('uncaughtException', (error) => console.log('heard', error.message))
module.exports = async () => {
  await pipeline(Readable.from(['piped ', 'text\\n']), process.stdout)
  await new Promise((resolve) => process.stdout.end('ended\\n', resolve))
  console.log('goes on')
  process.stdout.write(Buffer.from([0xc3])); process.stdout.write(Buffer.from([0xa9, 10]))
  setTimeout(() => { throw new Error('in a callback') })
  await new Promise((resolve) => setTimeout(resolve, 50))
  return [typeof require('domain').create, typeof require('node:repl').start, process.argv.slice(1)]
}
"""
    played = await stage.run(source, runtime="nodejs")
    assert played.output == ["function", "function", ["/work/index.js"]]
    assert [text for _, text in played.said] == ["piped text", "ended", "goes on", "é", "heard in a callback"]


LEFT_BEHIND = {
    "nodejs": """
module.exports = async ({ input }) => {
  if (input.first) {
    setTimeout(() => { console.log('stale'); Promise.reject(new Error('stale rejection')); throw new Error('stale') }, 20)
    ;(async () => { await new Promise((resolve) => setTimeout(resolve, 40)); throw new Error('stale task') })()
    return 1
  }
  await new Promise((resolve) => setTimeout(resolve, 200))
  console.log('own')
  return 2
}""",
    "python": """
import asyncio, threading, time, signal
async def handler(input, env):
    if input.get("first"):
        threading.Thread(target=lambda: (time.sleep(0.1), print("stale"))).start()
        asyncio.get_running_loop().call_later(0.05, print, "stale timer")
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(1)
        return 1
    await asyncio.sleep(1.2)
    await asyncio.to_thread(print, "own")
    return 2
""",
}
LEFT_BEHIND["deno"] = LEFT_BEHIND["nodejs"].replace("module.exports =", "export default")


@pytest.mark.parametrize("runtime", LEFT_BEHIND)
async def test_what_a_job_left_behind_neither_fails_the_next_one_nor_writes_into_its_log(
    stage: Stage, runtime: str
) -> None:
    first = stage.assign(LEFT_BEHIND[runtime], runtime=runtime, input=b'{"first": true}')
    await stage.finish(first)
    second = await stage.run(LEFT_BEHIND[runtime], runtime=runtime)
    assert (first.output, second.output) == (1, 2)
    assert second.said == [("info", "own")]


@pytest.mark.parametrize("runtime", ["nodejs", "deno"])
async def test_a_value_that_json_would_drop_is_converted_or_refused_by_name(
    stage: Stage, runtime: str
) -> None:
    begin = "module.exports = " if runtime == "nodejs" else "export default "
    values = "{ m: new Map([['a', new Set([1])]]), s: new Set([1, 2]), e: new TypeError('x'), o: {}, h: new Headers({a: 'b'}) }"
    played = await stage.run(f"{begin} () => ({values})", runtime=runtime)
    assert played.output == {
        "m": {"a": [1]},
        "s": [1, 2],
        "e": {"name": "TypeError", "message": "x"},
        "o": {},
        "h": {"a": "b"},
    }
    refused = {
        "new Response('x')": "a Response",
        "{ a: Promise.resolve(1) }": "a Promise",
        "{ body: (await import('node:stream')).Readable.from(['a']) }": "a stream",
        "[new ArrayBuffer(1)]": "an ArrayBuffer",
        "[new DataView(new ArrayBuffer(1))]": "a DataView",
    }
    for value, name in refused.items():
        outcome = (await stage.run(f"{begin} async () => ({value})", runtime=runtime)).outcome
        assert outcome.error_code == "handler_error"
        assert name in outcome.error_message


@pytest.mark.parametrize("runtime", ["nodejs", "deno"])
async def test_what_is_thrown_without_being_an_error_shows_no_frame_of_ours(
    stage: Stage, runtime: str
) -> None:
    begin = "module.exports = " if runtime == "nodejs" else "export default "
    played = await stage.run(
        f"{begin} async () => {{ throw new Proxy(new Error('behind'), {{}}) }}", runtime=runtime
    )
    assert "behind" in played.outcome.error_message
    assert "harness" not in played.outcome.error_message + (played.outcome.error_stack or "")


async def test_the_other_folder_for_temporary_files_is_there(stage: Stage) -> None:
    played = await stage.run(
        "touch /var/tmp/x && ls /tmp/x && mktemp -p /var/tmp > /dev/null", runtime="shell"
    )
    assert played.output == "/tmp/x"


@pytest.mark.parametrize(
    ("left", "output"),
    [("mkfifo $AVA_OUTPUT", "said"), ("ln -s /dev/zero $AVA_OUTPUT", "said"), ("mkdir $AVA_OUTPUT", "said")],
)
async def test_what_is_no_file_is_no_result_of_a_script(stage: Stage, left: str, output: str) -> None:
    played = await stage.run(f"rm -f $AVA_OUTPUT; {left}; echo said", runtime="shell")
    assert played.output == output
    played = await stage.run("echo 1 > $AVA_OUTPUT; chmod 0 $AVA_OUTPUT", runtime="shell")
    assert played.outcome.error_message == "$AVA_OUTPUT cannot be read: Permission denied"


MARK = "\ufeff"


async def test_a_byte_order_mark_is_no_part_of_the_code(stage: Stage) -> None:
    assert (await stage.run(f"{MARK}def handler(input, env):\n    return 1\n")).output == 1
    for runtime in ("nodejs", "deno"):
        source = f"{MARK}#!/usr/bin/env node\nexport default () => 1"
        assert (await stage.run(source, runtime=runtime)).output == 1
    assert (await stage.run(f"{MARK}#!/bin/bash\necho 1", runtime="shell")).output == 1
    assert (await stage.run(MARK + HANG["wasm"].format(""), runtime="wasm")).output == "calling … "


async def test_a_script_with_windows_line_ends_runs_and_says_so_once(stage: Stage) -> None:
    played = await stage.run("#!/bin/bash\r\nif true; then\r\n  echo 1\r\nfi\r\n", runtime="shell")
    assert played.output == 1
    assert [level for level, text in played.said if "CRLF" in text] == ["warn"]
    again = await stage.run("#!/bin/bash\r\nif true; then\r\n  echo 1\r\nfi\r\n", runtime="shell")
    assert again.said == [("info", "1")]
