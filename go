#!/bin/sh
# Sanyi 三医 in one command: see `./go help`. Needs python3 (3.11 or later) with pip, nothing else.
set -eu
cd "$(dirname "$0")"

# Without byte code every process compiles every module again; those of a test run are hundreds.
unset PYTHONDONTWRITEBYTECODE
export UV_PYTHON_DOWNLOADS=never DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false
PY=${PYTHON:-python3}
VENV=.venv/bin/python
STAMP=.venv/.sanyi-lock
PACKAGES="postgresql-15 redis-server ceph-mon ceph-osd radosgw ceph-common chromium fonts-noto-cjk libatomic1"

ON_ALL_CORES="-n auto --maxprocesses 4 --dist loadfile"  # tests/conftest.py says which files go together

say() { printf '· %s\n' "$*" >&2; }
stop() { printf '× %s\n' "$*" >&2; exit 1; }

usage() {
    cat <<'HELP'
./go                       run a city for a day            运行一座模拟城市的一天
./go test [pytest args]    run the tests                   运行测试
./go check                 lint, types, house rules        代码检查：风格、类型、分层
./go prove [NAME]          show that a promise holds       逐条演示本平台的承诺
./go bench [NAME]          measure                         性能测量
./go doctor [--json]       what is wrong here, what to do  本机安装有何问题、如何处理
./go new hospital NAME     a hospital's folder, next steps 新医院的目录与后续步骤（--like 方言或医院）
./go new chain NAME        a chain's folder, next steps 新连锁的目录与后续步骤（--like rest 或 soap）
./go map HOSPITAL          codes that stand for none of ours 待对照编码与建议
./go record HOSPITAL       its last messages, invented people 导出报文样例，人名已换
./go people [add ID ROLE]  people, a first administrator   人员，首位管理员
./go conformance NAME      certify a hospital or a chain   医院或连锁的接口认证，出具报告
./go help                  this text                       显示本帮助

`./go test` uses real PostgreSQL, Ceph and Chromium. As root, or with sudo, it installs what is missing;
otherwise the tests that need it are skipped and counted.
`./go test` 使用真实的 PostgreSQL、Ceph 与 Chromium；有 root 或 sudo 权限时自动安装，否则跳过并计数。
Another Python 指定解释器:  PYTHON=/usr/bin/python3.12 ./go
HELP
}

require_python() {
    command -v "$PY" >/dev/null || stop "no $PY: install Python 3.11 or later, or say PYTHON=/path/to/python3 ./go
  找不到 $PY：请安装 Python 3.11 或更高版本，或用 PYTHON= 指定"
    "$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$("$PY" -V 2>&1) is too old: install 3.11 or later, then PYTHON=/path/to/python3 ./go
  Python 版本过低：请安装 3.11 或更高版本，再用 PYTHON= 指定"
}

locks_digest() {
    "$PY" -c 'import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])).hexdigest())' \
        requirements.lock requirements-test.lock requirements-bench.lock
}

# The environment for `main`, `test` or `bench`; a second call with the same locks does nothing.
# Each lock holds everything of the one before, so what is there for `test` serves `main` as it is.
prepare() {
    wanted=$1
    require_python
    digest=$(locks_digest)
    if [ -x "$VENV" ] && [ -f "$STAMP" ]; then
        case "$wanted $(cat "$STAMP")" in
            "main main $digest" | "main test $digest" | "main bench $digest" | \
            "test test $digest" | "test bench $digest" | "bench bench $digest") link_checkout; return ;;
        esac
    fi
    case $wanted in main) lock=requirements.lock ;; test) lock=requirements-test.lock ;;
        bench) lock=requirements-bench.lock ;; esac
    say "installing $lock into .venv  正在安装依赖…"
    rm -f "$STAMP"
    if find_uv && install_with_uv "$lock"; then :; else
        say "uv did not do it; pip takes over (slower)  改用 pip，稍慢"
        install_with_pip "$lock"
    fi
    link_checkout
    echo "$wanted $digest" >"$STAMP"
}

find_uv() {
    UV=$(command -v uv || true)
    [ -z "$UV" ] || return 0
    UV=.tools/bin/uv
    [ -x "$UV" ] && return 0
    "$PY" -m pip install --quiet --disable-pip-version-check --no-warn-script-location --target .tools uv >/dev/null 2>&1
}

install_with_uv() {
    # uv does not read pip's configuration; people behind a mirror have set it there.
    if [ -z "${UV_DEFAULT_INDEX:-}" ]; then
        index=$("$PY" -m pip config get global.index-url 2>/dev/null || true)
        [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    fi
    [ -x "$VENV" ] || "$UV" venv --quiet --clear --python "$PY" .venv || return 1
    "$UV" pip sync --quiet --require-hashes --compile-bytecode --python "$VENV" "$1"
}

install_with_pip() {
    [ -x "$VENV" ] && "$VENV" -m pip --version >/dev/null 2>&1 || "$PY" -m venv --clear .venv ||
        stop "no virtual environment: install python3-venv (Debian, Ubuntu) and try again  请先安装 python3-venv"
    # --no-deps: the lock is complete.
    "$VENV" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$1" ||
        stop "could not install $1; the lines above say why  依赖安装失败，原因见上"
}

# Our editable install: one line that puts the checkout on the path. We are an application, so there is nothing
# to build, and a second copy of a module in site-packages must never exist.
link_checkout() {
    packages=$("$VENV" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    [ "$(cat "$packages/sanyi.pth" 2>/dev/null || true)" = "$PWD" ] || echo "$PWD" >"$packages/sanyi.pth"
}

# Debian's own PostgreSQL, Ceph and Chromium, where we may install them.
install_services() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
    absent=
    for one in $PACKAGES; do
        case "$(dpkg-query -W -f='${Status}' "$one" 2>/dev/null || true)" in
            *"ok installed") ;;
            *) absent="$absent $one" ;;
        esac
    done
    [ -n "$absent" ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo -n"; else
            say "not installed, and no right to:$absent  无权限安装，相关测试将跳过"
            return 0
        fi
    fi
    say "installing$absent (once, some minutes)  正在安装测试服务，仅首次…"
    # shellcheck disable=SC2086  # these are lists of words
    if $as_root apt-get update -q >/dev/null 2>&1 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $absent >/dev/null 2>&1
    then :; else say "could not install:$absent  安装失败，相关测试将跳过"; fi
}

# Every check runs, whatever the others say.
check() {
    failed=
    try() {
        name=$1
        shift
        if "$@"; then say "$name: fine  通过"; else
            say "$name: NOT fine  未通过"
            failed="$failed $name"
        fi
    }
    try ruff "$VENV" -m ruff check .
    try mypy "$VENV" -m mypy
    try import-linter .venv/bin/python -c 'from importlinter.cli import lint_imports_command as run; run()'
    try locks no_addresses
    if [ -f docs/generated.py ]; then try generated "$VENV" -m docs.generated --check; fi
    [ -z "$failed" ] || stop "not fine:$failed"
    say "all fine  全部通过"
}

# A command, and then the CPU time of everything it started and saw end.
counted() {
    result=0
    "$@" || result=$?
    spent=$(mktemp)
    times >"$spent"
    awk 'END { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += t[1] + t[2] / 60 }
               printf "· CPU %.1f min  测试共用 CPU 时间\n", sum }' "$spent"
    rm -f "$spent"
    exit "$result"
}

no_addresses() {
    # A lock with addresses would tie everybody to our registry.
    if grep -nE 'https?://' requirements*.lock; then return 1; fi
}

# run_or_list FOLDER PACKAGE [NAME [args]]: run one of a folder's programs, or say which there are.
run_or_list() {
    folder=$1 package=$2
    shift 2
    if [ $# -gt 0 ]; then
        name=$1
        shift
        [ -f "$folder/$name.py" ] || stop "no $folder/$name.py; without a name I list what there is  没有这一项，不带名称可列出全部"
        install_services
        exec "$VENV" -m "$package.$name" "$@"
    fi
    exec "$VENV" - "$folder" <<'PYTHON'
import ast, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("[!_]*.py")):
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    print(f"{path.stem:24} {first}")
PYTHON
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
    "") prepare main; exec "$VENV" -m sandbox.day ;;
    -h | --help | help) usage ;;
    # The whole suite on all cores, each file in one process; a part of it as pytest does it.
    test) prepare test; install_services; [ $# -gt 0 ] || set -- $ON_ALL_CORES; counted "$VENV" -m pytest "$@" ;;
    check) prepare test; check ;;
    prove) prepare test; run_or_list tests/prove tests.prove "$@" ;;
    doctor) prepare main; exec "$VENV" -m flows.doctor "$@" ;;
    new) prepare main; exec "$VENV" -m adapters.kit.scaffold "$@" ;;
    map) prepare main; exec "$VENV" -m adapters.kit.tables "$@" ;;
    record) prepare main; exec "$VENV" -m tasks.traffic "$@" ;;
    people) prepare main; exec "$VENV" -m tasks.staff "$@" ;;
    conformance) prepare main; exec "$VENV" -m sandbox.conformance "$@" ;;
    bench) prepare bench; run_or_list benchmarks benchmarks "$@" ;;
    # Options go to the main job.
    -*) prepare main; exec "$VENV" -m sandbox.day "$command" "$@" ;;
    *) usage >&2; stop "no such command: $command  没有这个命令" ;;
esac
