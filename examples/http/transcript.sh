#!/usr/bin/env bash
# The asynchronous pattern with curl, against the example `http_host`: start, poll, raise, terminate, purge.
# Prints what is asked and what is answered; ends with an error if an answer is not the expected one.
set -euo pipefail
cd "$(dirname "$0")/../.."

key=an-admin-key-of-my-own
cargo build --release --quiet -p durable-http-examples --bin http_host
exec 3< <(exec target/release/http_host --listen 127.0.0.1:0 --key $key 2> /dev/null)
trap "kill $!" EXIT
# It says where it listens once it does.
read -r _ _ root <&3
api=$root/runtime/webhooks/durabletask

# ask STATUS CURL-ARGUMENT..: shows the request and the answer, which must have that status. What is
# signed is cut short, and the JSON is in $body, the location in $location.
ask() {
    local status=$1 answer shown
    shift
    shown=${*//"$root"/}
    echo "\$ curl -i ${shown//"$key"/\$KEY}"
    answer=$(curl --silent --include "$@" | tr -d '\r')
    body=$(sed '1,/^$/d' <<< "$answer")
    location=$(sed -n 's/^location: //p' <<< "$answer")
    answer=$(grep -vE '^(cache-control|referrer-policy|x-content-type-options|date|content-length|content-type):' <<< "$answer")
    echo "${answer//"$root"/}"
    echo
    [[ $answer == HTTP/1.1\ $status* ]] || { echo "expected $status"; exit 1; }
}

# link NAME: one of the links of $links.
link() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" <<< "$links"; }

{
    ask 202 -H "x-functions-key: $key" -d '"a package"' "$api/orchestrators/WaitForGo/order-42"
    links=$body watch=$location
    ask 202 "$watch"
    event=$(link sendEventPostUri)
    ask 202 --globoff -H "content-type: application/json" -d '{"signed": true}' "${event/\{eventName\}/go}"
    # Who raised the event is answered when it is kept, not when it has been dealt with.
    ask 200 "$watch&timeout=10"
    ask 403 -X POST "${watch/\?/\/terminate?}"
    ask 200 -X DELETE "$(link purgeHistoryDeleteUri)"
    ask 404 "$watch"

    ask 202 -H "x-functions-key: $key" -d '"another"' "$api/orchestrators/WaitForGo/order-43"
    links=$body watch=$location
    terminate=$(link terminatePostUri)
    ask 202 -X POST "${terminate/\{text\}/not+wanted}"
    ask 200 "$watch"
    ask 410 -X POST "${terminate/\{text\}/again}"
    ask 401 "$api/instances/order-43"
} | sed -E 's/dl1\.[A-Za-z0-9_-]{6}[A-Za-z0-9_.-]*/dl1.…/g'
