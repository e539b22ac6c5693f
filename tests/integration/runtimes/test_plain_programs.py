"""What a program for a plain process finds: one job per runtime tries many small things, each is compared by name."""

from collections.abc import Mapping
from typing import Any, Final

from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import Stage

PYTHON: Final[dict[str, tuple[str, Any]]] = {
    # the user, the place, the host
    "user": ("getpass.getuser()", "worker"),
    "home": ("str(pathlib.Path.home())", "/work"),
    "home by name": ("os.path.expanduser('~worker')", "/work"),
    "home can be written": ("(pathlib.Path.home() / 'f').write_text('x')", 1),
    "group": ("grp.getgrgid(os.getgid()).gr_name", "worker"),
    "place": ("os.getcwd()", "/work"),
    "place in the environment": ("os.environ['PWD'] == os.getcwd()", True),
    "temporary file": ("tempfile.NamedTemporaryFile().write(b'abc')", 3),
    "temporary folder": ("tempfile.gettempdir()", "/tmp"),
    "loopback": ("socket.gethostbyname('localhost')", "127.0.0.1"),
    "service": ("socket.getservbyname('https')", 443),
    "protocol": ("socket.getprotobyname('tcp')", 6),
    "type of a file": ("mimetypes.guess_type('a.svg')[0]", "image/svg+xml"),
    "system": ("platform.system()", "Linux"),
    "release": ("bool(platform.freedesktop_os_release()['ID'])", True),
    "processors": ("os.cpu_count() >= 1", True),
    # text and time
    "encoding of texts": ("locale.getpreferredencoding(False).upper()", "UTF-8"),
    "encoding of names": ("sys.getfilesystemencoding()", "utf-8"),
    "zone": ("time.strftime('%Z')", "UTC"),
    "zones": ("str(zoneinfo.ZoneInfo('Europe/Berlin'))", "Europe/Berlin"),
    # streams
    "stdout is no terminal": ("sys.stdout.isatty()", False),
    "stdin is empty": ("sys.stdin.read()", ""),
    "descriptor of stdout": ("sys.stdout.fileno()", 1),
    "descriptor of stderr": ("sys.stderr.fileno()", 2),
    "columns": ("shutil.get_terminal_size().columns", 80),
    "null": ("open('/dev/null', 'w').write('x')", 1),
    "random": ("len(open('/dev/urandom', 'rb').read(4))", 4),
    "faults": ("faulthandler.enable()", None),
    # children
    "status": ("subprocess.run(['sh', '-c', 'exit 3']).returncode", 3),
    "status of system": ("os.waitstatus_to_exitcode(os.system('exit 3'))", 3),
    "a pipe": ("subprocess.check_output('yes | head -n 1', shell=True, text=True)", "y\n"),
    "a child's python": (
        (
            "subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.version_info[:2])'], text=True)"
            " == f'{sys.version_info[:2]}\\n'"
        ),
        True,
    ),
    "python by name": ("subprocess.run(['python3', '-c', '']).returncode", 0),
    "processes by fork": (
        "multiprocessing.get_context('fork').Pool(1).apply(abs, (-3,))",
        3,
    ),
    "a child's stdin": ("subprocess.check_output(['cat'], input=b'x').decode()", "x"),
    "a signal": ("subprocess.run(['sh', '-c', 'kill -TERM $$']).returncode", -15),
    "a group": ("subprocess.run(['true'], start_new_session=True).returncode", 0),
    # the module
    "the module's source": ("'def handler' in inspect.getsource(handler)", True),
    "the module is known": ("sys.modules[handler.__module__].handler is handler", True),
    "the module's file": ("os.path.exists(__file__)", True),
    "it is not the main one": ("__name__ == '__main__'", False),
    "a class can be pickled": ("pickle.loads(pickle.dumps(Point(1, 2))).y", 2),
    "hints of a class": ("typing.get_type_hints(Point)['x'].__name__", "int"),
    # what programs use
    "a loop of its own": ("asyncio.run(asyncio.sleep(0, 'slept'))", "slept"),
    "a thread": ("concurrent.futures.ThreadPoolExecutor(1).submit(abs, -1).result()", 1),
    "a database in memory": ("sqlite3.connect(':memory:').execute('select 1').fetchone()[0]", 1),
    "a database beside the code": ("sqlite3.connect('x.db').execute('create table t (x)').rowcount", -1),
    "certificates": ("ssl.create_default_context().cert_store_stats()['x509_ca'] > 0", True),
    "the C library": ("ctypes.CDLL(None).getpid() == os.getpid()", True),
    "a server of its own": ("socket.create_server(('127.0.0.1', 0)).getsockname()[0]", "127.0.0.1"),
    "a unix socket": ("(lambda ends: ends[0].send(b'x'))(socket.socketpair())", 1),
    "shared memory": ("multiprocessing.shared_memory.SharedMemory(create=True, size=8).size >= 8", True),
    "a lock file": ("fcntl.flock(open('/tmp/lock', 'w'), fcntl.LOCK_EX)", None),
    "a map of memory": ("len(mmap.mmap(-1, 8))", 8),
}
_MODULES: Final = (
    "asyncio concurrent.futures ctypes dataclasses faulthandler fcntl getpass grp inspect locale mimetypes mmap"
    " multiprocessing multiprocessing.shared_memory os pathlib pickle platform shutil socket sqlite3 ssl subprocess"
    " sys tempfile time typing zoneinfo"
)


async def test_a_program_for_a_plain_python_finds_what_it_needs(stage: Stage) -> None:
    source = f"import {', '.join(_MODULES.split())}\n\n@dataclasses.dataclass\nclass Point:\n    x: int\n    y: int\n"
    tries = "".join(f"    {name!r}: lambda: {expression},\n" for name, (expression, _) in PYTHON.items())
    source += (
        f"\nTRIES = {{\n{tries}}}\n\ndef attempt(what):\n    try:\n        return what()\n"
        "    except BaseException as error:\n        return repr(error)\n\n"
        "def handler(input, env):\n    return {name: attempt(what) for name, what in TRIES.items()}\n"
    )
    await _compare(stage, "python", source, {name: value for name, (_, value) in PYTHON.items()})


NODE: Final[dict[str, tuple[str, Any]]] = {
    "user": ("os.userInfo().username", "worker"),
    "home": ("os.homedir()", "/work"),
    "home can be written": ("fs.writeFileSync(os.homedir() + '/f', 'x')", None),
    "temporary folder": ("os.tmpdir()", "/tmp"),
    "temporary": ("fs.mkdtempSync(os.tmpdir() + '/x-').length > 7", True),
    "place": ("process.cwd()", "/work"),
    "system": ("os.type()", "Linux"),
    "processors": ("os.cpus().length >= 1", True),
    "zone": ("Intl.DateTimeFormat().resolvedOptions().timeZone", "UTC"),
    "languages": ("(1234.5).toLocaleString('de')", "1.234,5"),
    "stdout is no terminal": ("Boolean(process.stdout.isTTY)", False),
    "stdin is empty": ("fs.readFileSync(0, 'utf8')", ""),
    "stdout has a descriptor": ("process.stdout.fd", 1),
    "a write calls back": ("new Promise((done) => process.stdout.write('x\\n', () => done(1)))", 1),
    "null": ("fs.writeFileSync('/dev/null', 'x')", None),
    "a child": ("child.execSync('echo hi').toString()", "hi\n"),
    "a child's status": ("child.spawnSync('sh', ['-c', 'exit 3']).status", 3),
    "a child's node": ("child.execFileSync(process.execPath, ['-p', '1+1']).toString()", "2\n"),
    "node by name": ("child.execSync('node -p 1+1').toString()", "2\n"),
    "a pipe": ("child.execSync('yes | head -n 1').toString()", "y\n"),
    "a signal": ("child.spawnSync('sh', ['-c', 'kill -TERM $$']).signal", "SIGTERM"),
    "a fork": (
        "new Promise((done) => child.fork(forked).on('message', done))",
        "from the child",
    ),
    "a thread": (
        (
            "new Promise((done) => new threads.Worker('require(\"worker_threads\").parentPort.postMessage(5)',"
            " { eval: true }).on('message', done))"
        ),
        5,
    ),
    "the file": ("fs.existsSync(__filename)", True),
    "the folder": ("path.dirname(__filename) === __dirname", True),
    "a require of its own": ("require('module').createRequire(__filename)('path') === path", True),
    "an import": ("import('node:path').then((m) => m.sep)", "/"),
    "what is exported": ("typeof module.exports", "function"),
    "loopback": ("new Promise((done) => dns.lookup('localhost', 4, (_, at) => done(at)))", "127.0.0.1"),
    "a server of its own": (
        (
            "new Promise((done) => { const s = http.createServer((_, r) => r.end('ok')).listen(0, '127.0.0.1', () =>"
            " fetch(`http://127.0.0.1:${s.address().port}`).then((r) => r.text()).then((t) => { s.close();"
            " s.closeAllConnections(); done(t) })) })"
        ),
        "ok",
    ),
    "a digest": ("crypto.createHash('sha256').update('').digest('hex').slice(0, 8)", "e3b0c442"),
    "web crypto": ("crypto.webcrypto.getRandomValues(new Uint8Array(2)).length", 2),
    "a gzip": ("zlib.gunzipSync(zlib.gzipSync('x')).toString()", "x"),
    "a clone": ("structuredClone(new Map([[1, 2]])).get(1)", 2),
    "a local store": (
        "new (require('async_hooks').AsyncLocalStorage)().run(7, () => 7)",
        7,
    ),
    "an abort": ("AbortSignal.abort().aborted", True),
    "a stream": ("require('stream').Readable.from(['a', 'b']).toArray().then((x) => x.join(''))", "ab"),
    "events": (
        "require('events').once(Object.assign(new (require('events'))(), {}), 'x') instanceof Promise",
        True,
    ),
    "a timer": ("require('timers/promises').setTimeout(1, 'waited')", "waited"),
    "versions": ("process.release.name", "node"),
    "user id": ("process.getuid() > 0", True),
    "arguments": ("process.argv.length >= 1", True),
    "no extra arguments": ("process.execArgv.includes('--inspect')", False),
    "a half character": ("'😀'.slice(0, 1) + '|'", "\ufffd|"),
    "a date": ("new Date(0)", "1970-01-01T00:00:00.000Z"),
    "a buffer's text": ("Buffer.from('é').toString('base64')", "w6k="),
    "nothing": ("undefined", None),
}


async def test_a_program_for_a_plain_node_finds_what_it_needs(stage: Stage) -> None:
    names = {"child": "child_process", "threads": "worker_threads"}
    needed = ("fs", "os", "path", "http", "dns", "crypto", "zlib", *names)
    source = "".join(f"const {one} = require('node:{names.get(one, one)}')\n" for one in needed)
    tries = "".join(f"  {name!r}: () => {expression},\n" for name, (expression, _) in NODE.items())
    source += (
        "const forked = '/tmp/forked.js'\nfs.writeFileSync(forked, 'process.send(\"from the child\")')\n"
        f"const tries = {{\n{tries}}}\n"
        "module.exports = async () => {\n  const found = {}\n"
        "  for (const [name, what] of Object.entries(tries)) {\n"
        "    try { found[name] = (await what()) ?? null } catch (error) { found[name] = String(error) }\n  }\n"
        "  return found\n}\n"
    )
    await _compare(stage, "nodejs", source, {name: value for name, (_, value) in NODE.items()})


DENO: Final[dict[str, tuple[str, Any]]] = {
    "user": ("os.userInfo().username", "worker"),
    "home": ("os.homedir()", "/work"),
    "place": ("Deno.cwd()", "/work"),
    "a file": ("Deno.writeTextFileSync('f', 'x') ?? Deno.readTextFileSync('f')", "x"),
    "a temporary file": ("Deno.makeTempFileSync().startsWith('/tmp/')", True),
    "system": ("Deno.build.os", "linux"),
    "zone": ("Intl.DateTimeFormat().resolvedOptions().timeZone", "UTC"),
    "languages": ("(1234.5).toLocaleString('de')", "1.234,5"),
    "stdout is no terminal": ("Deno.stdout.isTerminal()", False),
    "a variable": ("Deno.env.get('LANG')", "C.UTF-8"),
    "a module": ("import('node:path').then((m) => m.sep)", "/"),
    "a digest": (
        "crypto.subtle.digest('SHA-256', new Uint8Array()).then((d) => new Uint8Array(d)[0])",
        0xE3,
    ),
    "a clone": ("structuredClone(new Map([[1, 2]])).get(1)", 2),
    "a stream": ("new Response(new Blob(['x']).stream()).text()", "x"),
    "a gzip": (
        (
            "new Response(new Blob(['x']).stream().pipeThrough(new CompressionStream('gzip'))"
            ".pipeThrough(new DecompressionStream('gzip'))).text()"
        ),
        "x",
    ),
    "an abort": ("AbortSignal.abort().aborted", True),
    "a timer": ("new Promise((done) => setTimeout(() => done('waited'), 1))", "waited"),
    "a date": ("new Date(0)", "1970-01-01T00:00:00.000Z"),
    "a half character": ("'😀'.slice(0, 1) + '|'", "\ufffd|"),
    "a set": ("new Set([1, 2])", [1, 2]),
    "a map": ("new Map([['a', 1]])", {"a": 1}),
    "nothing": ("undefined", None),
}


async def test_a_program_for_a_plain_deno_finds_what_it_needs(stage: Stage) -> None:
    tries = "".join(f"  {name!r}: () => {expression},\n" for name, (expression, _) in DENO.items())
    source = (
        f'import os from "node:os"\nconst tries: Record<string, () => unknown> = {{\n{tries}}}\n'
        "export default async () => {\n  const found: Record<string, unknown> = {}\n"
        "  for (const [name, what] of Object.entries(tries)) {\n"
        "    try { found[name] = (await what()) ?? null } catch (error) { found[name] = String(error) }\n  }\n"
        "  return found\n}\n"
    )
    await _compare(stage, "deno", source, {name: value for name, (_, value) in DENO.items()})


SHELL: Final[dict[str, tuple[str, str]]] = {
    "user": ("whoami", "worker"),
    "user by id": ("id -un", "worker"),
    "group": ("id -gn", "worker"),
    "entry": ("getent passwd worker | cut -d: -f6", "/work"),
    "home": ("echo ~", "/work"),
    "home by name": ("echo ~worker", "/work"),
    "place": ("pwd", "/work"),
    "service": ("getent services https | tr -s ' ' | cut -d' ' -f2", "443/tcp"),
    "host": ("getent hosts localhost >/dev/null && echo yes", "yes"),
    "zone": ("date +%Z", "UTC"),
    "terminal": ("tput cols", "80"),
    "no terminal": ("[ -t 1 ] || echo none", "none"),
    "stdin is the input": ("[ -p /dev/stdin ] || [ -f /dev/stdin ] && echo yes", "yes"),
    "temporary file": ("[ -w $(mktemp) ] && echo yes", "yes"),
    "substitution": ("cat <(echo a)", "a"),
    "here": ("cat <<< b", "b"),
    "descriptor": ("exec 3>&1; echo c >&3", "c"),
    "tee": ("echo d | tee /dev/null", "d"),
    "the first of many": ("yes | head -n 1", "y"),
    "many with a strict pipe": ("set +o pipefail; yes | head -n 1", "y"),
    "a background child": ("sleep 0 & wait $!; echo $?", "0"),
    "a late one": ("timeout 0.1 sleep 5; echo $?", "124"),
    "a signal": ("sh -c 'kill -TERM $$'; echo $?", "143"),
    "a trap": ("(trap 'echo bye' EXIT)", "bye"),
    "null": ("echo x > /dev/null; echo $?", "0"),
    "not text": (r"printf 'a\377b'", "a\ufffdb"),
    "arithmetic": ("echo $((0x10 + 1))", "17"),
    "sorting": ("printf 'b\\na\\n' | sort | head -n 1", "a"),
    "letters": ("x=é; echo ${#x}", "1"),
    "upper": ("x=ab; echo ${x^^}", "AB"),
    "an array": ("x=(1 2 3); echo ${#x[@]}", "3"),
    "random": ("head -c 4 /dev/urandom | wc -c", "4"),
    "the script": ("[ -f $0 ] && echo yes", "yes"),
    "arguments": ("echo $#", "0"),
    "editing": ("echo abc | sed s/b/x/ | awk '{print toupper($1)}'", "AXC"),
    "an archive": ("tar cf - -C /etc passwd | tar tf -", "passwd"),
    "finding": ("find /etc -maxdepth 1 -name passwd", "/etc/passwd"),
    "many arguments": ("echo 1 2 | xargs -n 1 | tail -n 1", "2"),
}


async def test_a_script_for_a_plain_shell_finds_what_it_needs(stage: Stage) -> None:
    lines = [f"printf '%s=%s\\n' '{name}' \"$({command} 2>&1)\"" for name, (command, _) in SHELL.items()]
    played = await stage.run("#!/bin/bash\n" + "\n".join(lines), runtime="shell")
    assert played.outcome.status is OutcomeStatus.COMPLETED, played.outcome
    found = dict(line.split("=", 1) for line in str(played.output).splitlines())
    assert _differing(found, {name: value for name, (_, value) in SHELL.items()}) == {}


WASM: Final[dict[str, tuple[bytes, Any]]] = {
    "a text": (b"hello", "hello"),
    "not text": (b"a\xffb", "a\ufffdb"),
    "half a character": (b"\xed\xa0\xbd!", "\ufffd\ufffd\ufffd!"),
    "a number": (b"42", 42),
    "a number of thirty digits": (b"1" * 30, "1" * 30),
    "a number that prints otherwise": (b"1.10", "1.10"),
    "an exponent": (b"512e123", "512e123"),
    "out of range": (b"1e99999", "1e99999"),
    "an object over lines": (b'{\n  "a": 1\n}\n', {"a": 1}),
    "an object and a blank line": (b'{"a": 1}\n\n', {"a": 1}),
    "a text and an object": (b'done\n{"a": 1}\n', {"a": 1}),
    "true": (b"true", True),
    "nothing": (b"", None),
    "null": (b"null", None),
    "what is nearly an object": (b'{"a": 1', '{"a": 1'),
    "not a number": (b"NaN", "NaN"),
}


async def test_what_a_module_prints_becomes_its_result_by_the_rules_of_scripts(stage: Stage) -> None:
    found = {}
    for name, (printed, _) in WASM.items():
        data = "".join(f"\\{byte:02x}" for byte in printed)
        module = f"""(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 16) "{data}")
            (func (export "_start") (i32.store (i32.const 0) (i32.const 16))
              (i32.store (i32.const 4) (i32.const {len(printed)}))
              (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
        by_module = await stage.run(module, runtime="wasm")
        octal = "".join(f"\\{byte:03o}" for byte in printed)
        by_script = await stage.run(f"printf '{octal}'", runtime="shell")
        assert by_script.output == by_module.output, name
        found[name] = by_module.output
    assert _differing(found, {name: value for name, (_, value) in WASM.items()}) == {}


async def _compare(stage: Stage, runtime: str, source: str, expected: Mapping[str, Any]) -> None:
    played = await stage.run(source, runtime=runtime)
    assert played.outcome.status is OutcomeStatus.COMPLETED, played.outcome
    assert isinstance(played.output, dict)
    assert _differing(played.output, expected) == {}


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what was found and what was expected, where these differ."""
    return {
        name: (found.get(name), value)
        for name, value in expected.items()
        if found.get(name) != value or type(found.get(name)) is not type(value)
    }
