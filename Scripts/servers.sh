# Sourced by scripts that need `token-broker sandbox` or `token-broker serve` on free ports, which end with the script.
# TOKEN_BROKER is the program. If it isn't set, this builds the one with all traits that `make test` leaves.

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

if [ -z "${TOKEN_BROKER:-}" ]; then
    swift build --enable-all-traits --product token-broker
    TOKEN_BROKER=.build/debug/token-broker
fi

# address FILE: waits until the program whose output is FILE says where it listens, and prints that address. The broker
# "listens on http://…", and Hummingbird is "listening on …".
address() {
    for _ in $(seq 200); do
        sed -nE '/listen(s|ing) on (http:\/\/)?[0-9.]+:[0-9]+/ { s/.*listen(s|ing) on (http:\/\/)?([0-9.]+:[0-9]+).*/\3/p; q }' \
            "$1" 2>/dev/null | grep . && return
        sleep 0.1
    done
    cat "$1" >&2
    return 1
}

# memory PROCESS: prints its resident memory in KiB.
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# start_sandbox ARGUMENTS…: starts the vendor in miniature and sets `vendor` to its address.
start_sandbox() {
    "$TOKEN_BROKER" sandbox --port 0 --log-level error "$@" >"$folder/sandbox" 2>&1 &
    vendor=$(address "$folder/sandbox")
}

# start_broker: starts a broker whose configuration, without the sections server and vendor, is on standard input. Sets
# `broker` to its address and `server` to its process.
start_broker() {
    { echo "server: {port: 0, trustedProxies: [127.0.0.1]}"; echo "vendor: {environment: sandbox, baseURL: \"http://$vendor\"}"; cat; } >"$folder/broker.yaml"
    ALTERNATIVE_CLIENT_ID=sandbox-client ALTERNATIVE_CLIENT_SECRET=sandbox-secret \
        "$TOKEN_BROKER" serve --config "$folder/broker.yaml" --log-level error >"$folder/serve" 2>&1 &
    server=$!
    broker=$(address "$folder/serve")
}
