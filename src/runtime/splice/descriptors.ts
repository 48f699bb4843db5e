/**
 * Finds the descriptors of sockets whose runtime does not tell them.
 *
 * @module
 */
import { ipBytes } from "../../core/address.ts";
import type { Conn, Endpoint } from "../../core/conn.ts";
import type { Libc } from "./libc.ts";

/** Where to give up: nobody has so many. */
const most = 1 << 16;
/** As long as the longest address that a TCP socket has. */
const local = new Uint8Array(28);
const remote = new Uint8Array(28);

/**
 * The descriptors of two sockets, found by both their ends. The kernel gives the lowest number that is free, so what was
 * opened lately is right below that; failing that, it is looked for above.
 */
export function findDescriptors(c: Libc, a: Conn, b: Conn): readonly [number, number] | undefined {
  const wanted = [wantedEnds(a), wantedEnds(b)];
  const found = [-1, -1];
  const look = (fd: number): boolean => {
    if (!c.peerName(fd, remote)) return false;
    for (const [index, [here, there]] of wanted.entries()) {
      if (is(remote, there) && c.sockName(fd, local) && is(local, here)) found[index] = fd;
    }
    return found[0] >= 0 && found[1] >= 0;
  };
  const free = c.eventfd();
  if (free < 0) return;
  c.close(free);
  for (let fd = free; fd > 2; fd--) if (look(fd)) return [found[0], found[1]];
  for (let fd = free; fd < most; fd++) if (look(fd)) return [found[0], found[1]];
}

interface Wanted {
  readonly port: number;
  readonly ip: Uint8Array;
}

function wantedEnds({ localAddr, remoteAddr }: Conn): readonly [Wanted, Wanted] {
  return [wantedEnd(localAddr!), wantedEnd(remoteAddr!)];
}

function wantedEnd({ hostname, port }: Endpoint): Wanted {
  return { port, ip: ipBytes(hostname) };
}

/** Whether a `sockaddr_in` or `sockaddr_in6` is this address; an IPv4 address may be mapped into IPv6. */
function is(address: Uint8Array, { port, ip }: Wanted): boolean {
  if ((address[2] << 8 | address[3]) !== port) return false;
  const at = address[0] === 2 ? 4 : ip.length === 4 ? 20 : 8;
  return ip.every((byte, index) => address[at + index] === byte);
}
