#!/bin/sh
# Places an order, follows it, and receives and verifies a webhook, with curl alone. What listens
# for the webhook is Perl, and openssl computes the signature; Linux and macOS have both.
#
#   examples/walks/walk.sh
#
# It needs a running server at ORDERFLOW_URL. ORDERFLOW is the program to run `orderflow listen` with;
# without it, it is built from this repository.
set -eu

server=${ORDERFLOW_URL:-http://localhost:3000}
email=walk-$$-$(date +%s)@example.com
password='a quiet blue morning'
port=${PORT:-4000}
json='content-type: application/json'
files=$(mktemp -d)
trap 'kill $receiver $listener 2>/dev/null || true; rm -rf "$files"' EXIT
receiver='' listener=''
orderflow=${ORDERFLOW:-$files/orderflow}
[ -n "${ORDERFLOW:-}" ] || go build -o "$orderflow" ./cmd/orderflow

fail() { echo "FAILED: $*" >&2; exit 1; }

# member prints the last member of a JSON text that has the name.
member() { sed -n "s/.*\"$1\":\"\([^\"]*\).*/\1/p"; }

# until_true repeats a command for a minute.
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "waited in vain for: $*"
        sleep 0.2
    done
}

echo "1. Register, log in, look around."
curl -sSf "$server/v1/auth/register" -H "$json" -d "{\"email\":\"$email\",\"password\":\"$password\"}" >"$files/user"
token=$(curl -sSf "$server/v1/auth/login" -H "$json" -d "{\"email\":\"$email\",\"password\":\"$password\"}" | member accessToken)
curl -sSf "$server/v1/products" | grep -q GRINDER-HAND-01 || fail "there are no demo products"

echo "2. Listen for webhooks at port $port."
# Stores one request in a file and answers 204.
perl -MIO::Socket::INET -e '
    my ($port, $file) = @ARGV;
    my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 5, ReuseAddr => 1) or die "port $port: $!";
    while (my $conn = $server->accept) {
        my ($head, $length) = ("", 0);
        while (my $line = <$conn>) {
            $head .= $line;
            $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
            last if $line =~ /^\r?\n$/;
        }
        read $conn, my $body, $length;
        print $conn "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        close $conn;
        next if -e "$file.body";
        open my $out, ">", "$file.head"; print $out $head; close $out;
        open $out, ">", "$file.new"; print $out $body; close $out;
        rename "$file.new", "$file.body";
    }' "$port" "$files/hook" &
receiver=$!
ORDERFLOW_PASSWORD=$password "$orderflow" listen --server="$server" --email="$email" --types=order.created --forward="http://127.0.0.1:$port/hooks" >"$files/listen" 2>&1 &
listener=$!
until_true grep -qi 'listening' "$files/listen"
secret=$(grep -o 'whsec_[A-Za-z0-9+/=]*' "$files/listen" | head -n 1)

echo "3. Place an order."
order=$(curl -sSf "$server/v1/orders" -H "$json" -H "authorization: Bearer $token" -H "idempotency-key: $email" \
    -d '{"items":[{"sku":"GRINDER-HAND-01","quantity":1}]}' | member id)
echo "   $order"

echo "4. Follow it until it is being fulfilled."
curl -sSN --max-time 60 "$server/v1/events/stream?after=start&orderId=$order" -H "authorization: Bearer $token" >"$files/stream" &
stream=$!
until_true grep -q '"type":"order.processing"' "$files/stream"
kill $stream 2>/dev/null || true
grep '^data: ' "$files/stream" | grep -o '"type":"[a-z]*\.[a-z]*"' | sed 's/"type":"\(.*\)"/   \1/'

echo "5. Verify the webhook."
until_true test -e "$files/hook.body"
header() { grep -i "^$1:" "$files/hook.head" | sed 's/^[^:]*: *//' | tr -d '\r'; }
id=$(header webhook-id) at=$(header webhook-timestamp)
key=$(printf %s "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$({ printf '%s.%s.' "$id" "$at"; cat "$files/hook.body"; } | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
case " $(header webhook-signature) " in
    *" v1,$signature "*) ;;
    *) fail "the signature is not valid" ;;
esac
age=$(($(date +%s) - at))
[ $age -lt 300 ] || fail "the message is $age s old"
grep -q "$order" "$files/hook.body" || fail "the message is about another order"
echo "   $(member type <"$files/hook.body") is signed by the server"
