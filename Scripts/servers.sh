# Sourced by scripts that need a running broker: `token-broker sandbox` and `token-broker serve` on free ports, ended with the script.
# TOKEN_BROKER is the program; the debug build of all traits unless set, which is what `make test` leaves.

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

if [ -z "${TOKEN_BROKER:-}" ]; then
    swift build --enable-all-traits --product token-broker
    TOKEN_BROKER=.build/debug/token-broker
fi

# The address in a program's output, once it says where it listens.
address() {
    for _ in $(seq 100); do
        sed -n 's/.*listens on http:\/\/\([0-9.:]*\).*/\1/p' "$1" 2>/dev/null | grep . && return
        sleep 0.1
    done
    cat "$1" >&2
    return 1
}

# Resident memory of a process in KiB.
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# start_sandbox ARGUMENTS…: sets `vendor` to its address.
start_sandbox() {
    "$TOKEN_BROKER" sandbox --port 0 --log-level error "$@" >"$folder/sandbox" 2>&1 &
    vendor=$(address "$folder/sandbox")
}

# start_broker: reads what its configuration says besides server and vendor; sets `broker` to its address and `server` to its process.
start_broker() {
    { echo "server: {port: 0, trustedProxies: [127.0.0.1]}"; echo "vendor: {environment: sandbox, baseURL: \"http://$vendor\"}"; cat; } >"$folder/broker.yaml"
    ALTERNATIVE_CLIENT_ID=sandbox-client ALTERNATIVE_CLIENT_SECRET=sandbox-secret \
        "$TOKEN_BROKER" serve --config "$folder/broker.yaml" --log-level error >"$folder/serve" 2>&1 &
    server=$!
    broker=$(address "$folder/serve")
}
