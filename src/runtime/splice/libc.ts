/**
 * The few functions of the C library that the kernel relay is made of, called through either runtime's FFI.
 *
 * @module
 */
import process from "node:process";

/** Calls that fail return the negative error number. */
export interface Libc {
  splice(from: number, to: number, length: number): number;
  /** `[read end, write end]` of a pipe, or a negative error number. */
  pipe(): readonly [number, number] | number;
  epollCreate(): number;
  epollAdd(epoll: number, fd: number, events: number, data: number): number;
  epollDelete(epoll: number, fd: number): number;
  epollModify(epoll: number, fd: number, events: number, data: bigint): number;
  /** Waits and hands each event's data over; negative for an error number. */
  epollWait(epoll: number, timeout: number, take: (data: number, events: number) => void): number;
  /** A counter that wakes an epoll. */
  eventfd(): number;
  /** Wakes whoever waits for it. */
  signal(eventfd: number): void;
  /** Makes it quiet again. */
  calm(eventfd: number): void;
  duplicate(fd: number): number;
  /** What the kernel tells of a descriptor, for an epoll all that is in it; nothing when that is very long. */
  describe(fd: number): string;
  close(fd: number): void;
  /** Sets how much the kernel keeps of what a socket has received, twice over: its own bookkeeping counts as well. */
  receiveBuffer(fd: number, bytes: number): void;
  /** Writes a socket's own end into a `sockaddr`; `false` when it is no socket. */
  sockName(fd: number, address: Uint8Array): boolean;
  /** The same for its peer's end; `false` when it has none. */
  peerName(fd: number, address: Uint8Array): boolean;
}

/** Errors that are none; x86-64 and arm64 agree on all numbers here. */
export const errno = { EINTR: 4, EAGAIN: 11 } as const;

/** Events of epoll. */
export const epoll = { IN: 1, OUT: 4, ERR: 8, HUP: 16, RDHUP: 0x2000, EDGE: 0x8000_0000 } as const;

/** How much a pipe holds, where the kernel lets us have that much. */
export const pipeSize = 256 * 1024;

const types = {
  splice: { args: ["i32", "usize", "i32", "usize", "usize", "u32"] },
  pipe2: { args: ["pointer", "i32"] },
  epoll_create1: { args: ["i32"] },
  epoll_ctl: { args: ["i32", "i32", "i32", "pointer"] },
  epoll_wait: { args: ["i32", "pointer", "i32", "i32"] },
  eventfd: { args: ["u32", "i32"] },
  open: { args: ["pointer", "i32"] },
  read: { args: ["i32", "pointer", "usize"] },
  write: { args: ["i32", "pointer", "usize"] },
  fcntl: { args: ["i32", "i32", "i32"] },
  close: { args: ["i32"] },
  getsockname: { args: ["i32", "pointer", "pointer"] },
  getpeername: { args: ["i32", "pointer", "pointer"] },
  setsockopt: { args: ["i32", "i32", "i32", "pointer", "u32"] },
} as const;

/** Every function here fits into 32 bits with its result, `ssize_t` included: no call is for more than 2 GiB. */
type Functions = Record<keyof typeof types, (...args: (number | ArrayBufferView | null)[]) => number>;

interface Library {
  readonly functions: Functions;
  errno(): number;
}

/** glibc, then musl. */
const names = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

function openLibrary(): Library {
  let failure: unknown;
  for (const name of names) {
    try {
      return "Bun" in globalThis ? openOnBun(name) : openOnDeno(name);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** The module is there on Bun alone, and so is asked for by name. */
function openOnBun(name: string): Library {
  const { dlopen, read } = process.getBuiltinModule("bun:ffi") as unknown as typeof import("bun:ffi");
  const like = { i32: "i32", u32: "u32", usize: "usize", pointer: "ptr" } as const;
  const { symbols } = dlopen(name, {
    ...Object.fromEntries(
      Object.entries(types).map(([key, { args }]) => [
        key,
        { args: args.map((type) => like[type]), returns: "i32" as const },
      ]),
    ),
    __errno_location: { args: [], returns: "ptr" },
  });
  const { __errno_location, ...functions } = symbols;
  return {
    functions: functions as unknown as Functions,
    errno: () => read.i32((__errno_location as unknown as () => number)() as never),
  };
}

function openOnDeno(name: string): Library {
  const { symbols } = Deno.dlopen(name, {
    ...Object.fromEntries(
      Object.entries(types).map(([key, { args }]) => [
        key,
        { parameters: args.map((type) => type === "pointer" ? "buffer" : type), result: "i32" as const },
      ]),
    ),
    __errno_location: { parameters: [], result: "pointer" },
  } as Record<string, Deno.ForeignFunction>);
  const { __errno_location, ...functions } = symbols;
  const location = __errno_location as unknown as () => Deno.PointerObject;
  return {
    functions: functions as unknown as Functions,
    errno: () => new Deno.UnsafePointerView(location()).getInt32(),
  };
}

const closeOnExec = 0x80000;
const nonBlocking = 0x800;
const spliceFlags = 1 | 2; // SPLICE_F_MOVE, SPLICE_F_NONBLOCK
const maxEvents = 64;
/** Room for an epoll with some 400 sockets. */
const descriptionSize = 32 * 1024;

/** Loads the library. @throws what the runtime's FFI says when it can't be had */
export function openLibc(): Libc {
  const { functions: c, errno: lastError } = openLibrary();
  const checked = (result: number) => result < 0 ? -lastError() : result;
  const pair = new Int32Array(2);
  const eight = new BigInt64Array([1n]);
  // Packed on x86-64 alone.
  const eventSize = process.arch === "x64" ? 12 : 16;
  const dataAt = eventSize - 8;
  const waiting = new DataView(new ArrayBuffer(maxEvents * eventSize));
  const added = new DataView(new ArrayBuffer(eventSize));
  const length = new Uint32Array(1);
  const epollControl = (operation: number, epoll: number, fd: number, wanted: number, data: bigint) => {
    added.setUint32(0, wanted, true);
    added.setBigUint64(dataAt, data, true);
    return checked(c.epoll_ctl(epoll, operation, fd, added));
  };
  const named = (call: "getsockname" | "getpeername", fd: number, address: Uint8Array) => {
    length[0] = address.length;
    return c[call](fd, address, length) === 0;
  };
  return {
    splice: (from, to, n) => checked(c.splice(from, 0, to, 0, n, spliceFlags)),
    pipe() {
      const failed = checked(c.pipe2(pair, closeOnExec | nonBlocking));
      if (failed < 0) return failed;
      // Refused where the user's pipes hold too much already: then it keeps the size that it has.
      c.fcntl(pair[0], 1031, pipeSize); // F_SETPIPE_SZ
      return [pair[0], pair[1]];
    },
    epollCreate: () => checked(c.epoll_create1(closeOnExec)),
    epollAdd: (epoll, fd, wanted, data) => epollControl(1, epoll, fd, wanted, BigInt(data)), // EPOLL_CTL_ADD
    epollModify: (epoll, fd, wanted, data) => epollControl(3, epoll, fd, wanted, data), // EPOLL_CTL_MOD
    epollDelete: (epoll, fd) => checked(c.epoll_ctl(epoll, 2, fd, added)), // EPOLL_CTL_DEL
    epollWait(epoll, timeout, take) {
      const n = checked(c.epoll_wait(epoll, waiting, maxEvents, timeout));
      for (let at = 0; at < n * eventSize; at += eventSize) {
        take(waiting.getUint32(at + dataAt, true), waiting.getUint32(at, true));
      }
      return n;
    },
    eventfd: () => checked(c.eventfd(0, closeOnExec | nonBlocking)),
    signal(eventfd) {
      eight[0] = 1n;
      c.write(eventfd, eight, 8);
    },
    calm: (eventfd) => void c.read(eventfd, eight, 8),
    duplicate: (fd) => checked(c.fcntl(fd, 1030, 3)), // F_DUPFD_CLOEXEC
    describe(fd) {
      const file = c.open(new TextEncoder().encode(`/proc/self/fdinfo/${fd}\0`), closeOnExec);
      if (file < 0) return "";
      const told = new Uint8Array(descriptionSize);
      const n = c.read(file, told, told.length);
      c.close(file);
      return n < told.length ? new TextDecoder().decode(told.subarray(0, Math.max(0, n))) : "";
    },
    close: (fd) => void c.close(fd),
    receiveBuffer: (fd, bytes) => void c.setsockopt(fd, 1, 8, Int32Array.of(bytes), 4), // SOL_SOCKET, SO_RCVBUF
    sockName: (fd, address) => named("getsockname", fd, address),
    peerName: (fd, address) => named("getpeername", fd, address),
  };
}
