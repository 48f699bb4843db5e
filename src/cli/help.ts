/**
 * What `--help` prints: enough to need no manual.
 *
 * @module
 */

const overview = `Hopline, a chaining proxy: one local port that speaks SOCKS5, SOCKS4, HTTP and TLS,
and behind it a chain of proxies to wherever you need to go.

Usage:
  hopline [serve] [-c FILE] [-L LISTENER]... [-F HOP]... [options]
  hopline check FILE                  validate a configuration, print every problem
  hopline explain TARGET [-c|-F ...]  which route a target takes and why, without connecting
  hopline trace TARGET [-c|-F ...]    connect through the chain and time every hop, like a traceroute
  hopline connect TARGET [-c|-F ...]  join standard input and output to TARGET (ssh ProxyCommand)
  hopline import FILE | --env         turn another program's configuration into one for Hopline
  hopline passwd USER                 ask for a password, print the user's line for a file of users
  hopline schema                      print the JSON Schema of the configuration file
  hopline COMMAND --help | --version

Examples:
  hopline                                              a proxy on 127.0.0.1:1080, connecting directly
  hopline -F http://proxy.corp.example:8080 -F socks5+tls://alice:secret@relay.example.net:443
                                                       through the office's proxy to a relay outside
  hopline -L 'socks5+tls://alice:secret@:443?cert=cert.pem&key=key.pem'
                                                       the relay outside
  ssh -o ProxyCommand='hopline connect %h:%p -c hopline.json' host.example

Exit status: 0 done, 1 failed while running, 2 wrong command line or configuration.`;

const hops = `Hops (-F), each reached through those before it:
  http://[user:pass@]host[:80]       HTTP CONNECT
  https://[user:pass@]host[:443]     HTTP CONNECT inside TLS, the same as http+tls://; HTTP/2 if ALPN chooses it
  h2://[user:pass@]host[:443]        HTTP/2 inside TLS, required; many tunnels share one connection
  socks5://[user:pass@]host[:1080]   SOCKS5; names travel to the hop unresolved
  socks4a://host, socks4://host      SOCKS4a; SOCKS4, with names resolved here
  ...+tls://                         any of them inside TLS (stunnel in front of it, say)
  Options, as ?a=b&c=d:  sni=NAME (sni= for none)  ca=FILE  cert=FILE  key=FILE  alpn=LIST
    pin=sha256/BASE64 of the public key  insecure=true  resolve=local  timeout=5s
    proxy-protocol=1 or 2 (tell the hop of the client, before TLS)
    forward=absolute (to HTTP hops: plain requests for port 80 without CONNECT)
  Percent-encode what is special in user names and passwords. A password on the command line can be seen by
  other users of the machine; a configuration file can take it from a file or the environment.`;

const pages: Record<string, string> = {
  serve: `Usage: hopline [serve] [-c FILE] [-L LISTENER]... [-F HOP]... [options]

Listens, and serves what clients ask for through the chain. Without -L it listens on 127.0.0.1:1080; without -F
it connects directly.

Options:
  -c FILE               a configuration: .json, .jsonc, .yaml, .yml, .toml or .ts
  -L LISTENER           one more listener
  -F HOP                one more hop of the chain, in order; beside a file with routes, the chain is for -L
  --watch               reload when the configuration, or a file that it names, changes
  --log-level LEVEL     error, warn, info (the default) or debug
  --log-format FORMAT   text (the default) or json, one line for each event on standard error
  --workers N           N processes that are one service, for more than one core; 1 unless given
  --no-splice           keep bulk flows in this process; on Linux the kernel moves them, where FFI is permitted

Listeners (-L):
  [auto://][user:pass@][host]:port   every protocol, told apart by its first bytes
  socks5://, socks4://, http://      only that one, or several: socks5,http://
  ...+tls://...?cert=FILE&key=FILE   TLS required; auto:// with a certificate takes both
  tcp://[host]:port/target:port      every connection goes to that one target
  sni://[host]:port[?port=443]       TLS is passed on, unterminated, to the server that its ClientHello names
  Options, as ?a=b&c=d:  cert=FILE  key=FILE  client-ca=FILE (client certificates required)  open=true
    forwarded=true (plain requests say whom they are for)
    reverse=true (a reverse proxy: a web server for the sites that routes name)
    proxy-protocol=CIDR,...  the PROXY protocol is required, and only proxies in these networks may connect
  :1080 means every address. A listener off the loopback needs users, or client-ca, or open=true.

${hops}

Signals: SIGINT and SIGTERM stop accepting, let live tunnels finish for up to timeouts.drain, and exit; a second
one exits at once. SIGHUP reloads the configuration; a bad one is refused whole.`,

  check: `Usage: hopline check FILE [--json]

Validates a configuration and prints every problem as file:line:column: path: message. Connects to nothing. A note
says what this system or its permissions keep Hopline from.
Certificates that have expired are warnings. Exit status 0 when it is good, 2 when it is not.

Options:
  --json   the result as one JSON object on standard output`,

  explain: `Usage: hopline explain TARGET [-c FILE] [-F HOP]... [options]

Says which way TARGET, a host:port, would take, and why: which route wins and what the others lack, the chain with the
members of its groups, who looks up which name, what \`access\` says, and the permissions that the configuration needs
on Deno. Nothing is connected; the name is looked up only where a route needs its addresses, and then it says so.

Options:
  -c FILE   a configuration
  -F HOP    one more hop of the chain, in order, instead of the routes
  --json    the result as one JSON object
  --user, --from, --listener, --protocol
            the routes see this user, client address, listener address and protocol

${hops}`,

  trace: `Usage: hopline trace TARGET [-c FILE] [-F HOP]... [options]

Connects to TARGET, a host:port, and shows the way hop by hop: names, addresses, TLS and its certificates, logins,
each with its time; then the target's first byte. Port 80 is asked by HTTP, port 443 inside TLS, whose certificate is
shown and not judged; others may greet within a second. Where the way breaks, it says at which hop and stage, what
came, and what to try next. Nothing is relayed. Exit status 0 when the target was reached, 1 when it was not.

Options:
  -c FILE              a configuration; its routes choose the way
  -F HOP               one more hop of the chain, in order, instead
  --count N            N times, each with connections of its own; least, median and most time of each step
  --json               the result as one JSON object
  --user, --from, --listener, --protocol
                       the routes see this user, client address, listener address and protocol

${hops}`,

  connect: `Usage: hopline connect TARGET [-c FILE] [-F HOP]...

Joins standard input and output to TARGET, a host:port, through the chain. It ends when the target has said all.

  ssh -o ProxyCommand='hopline connect %h:%p -F socks5://127.0.0.1:1080' host.example

Options:
  -c FILE   a configuration
  -F HOP    one more hop of the chain, in order

${hops}`,

  import: `Usage: hopline import FILE [--from PROGRAM]
       hopline import --env

Makes a configuration on standard output of what another program was told, and says on standard error, one a line
with its place, what is different or could not be carried over:

  hopline import proxychains.conf > hopline.jsonc

  gost          a script with gost -L ... -F ..., of version 2 or 3
  proxychains   proxychains.conf
  glider        glider.conf, with its rule files
  sing-box      JSON with outbounds; inbounds and routes as far as they go
  --env         ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case

Passwords go into the configuration as they stood. A certificate is verified unless the source said not to; a
listener that would be open to everybody is moved to 127.0.0.1. Exit status 0 when a configuration came out, whatever
the report says; 2 when FILE cannot be understood, or a chain without what is missing would lead elsewhere.

Options:
  --from PROGRAM   gost, proxychains, glider or sing-box; default: told by what is in FILE
  --env            take the environment instead of FILE`,

  passwd: `Usage: hopline passwd USER

Asks for a password (or takes it from standard input, when that is no terminal) and prints USER:HASH, a line for a
file of users. The hash is of scrypt and does not give the password away.

  hopline passwd alice >> users.txt

A listener takes it as "users": { "file": "users.txt" }. SIGHUP makes a running Hopline read the file again.`,

  schema: `Usage: hopline schema

Prints the JSON Schema of the configuration file. Save it beside yours and name it there as "$schema", and editors
complete keys and point out mistakes:

  hopline schema > hopline.schema.json`,
};

/** The help of the program. */
export function help(): string {
  return overview;
}

/** The help of one command. */
export function commandHelp(command: string): string {
  return pages[command];
}
