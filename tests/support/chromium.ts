/**
 * Chromium without a window, driven through its DevTools protocol: a JSON message each way on a WebSocket.
 *
 * @module
 */
import { eventually, start } from "./process.ts";
import type { Credentials } from "./peers.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A running browser. */
export interface Chromium extends AsyncDisposable {
  /**
   * Loads a page with a fresh profile whose every connection goes through `proxy`, and resolves to what the page's own
   * promise `report` becomes. When the proxy asks who is there, it is told `user`.
   */
  visit<Report>(url: string, proxy: string, user?: Credentials): Promise<Report>;
}

/** Milliseconds that an answer may take: long, as it is a large program on what may be a busy machine. */
const patience = 45_000;

/** A message of the protocol: an answer where there is an `id`, otherwise an event. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  // deno-lint-ignore no-explicit-any -- what a method takes and gives is Chromium's
  readonly params?: any;
  // deno-lint-ignore no-explicit-any -- as above
  readonly result?: any;
  readonly error?: { readonly message: string };
}

/** Starts Chromium; `pins` are those of the servers' and the proxies' certificates that it takes for good. */
export async function chromium(...pins: readonly string[]): Promise<Chromium> {
  const directory = temporaryDirectory();
  const daemon = start("chromium", [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // It looks no name up: neither for its maker's services, nor for a page, whose name is the proxy's to find out.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    `--ignore-certificate-errors-spki-list=${pins.map((pin) => pin.replace("sha256/", ""))}`,
    `--user-data-dir=${directory.path}`,
    "--remote-debugging-port=0",
  ], { env: { HOME: directory.path } });
  let ended = false;
  daemon.exited.finally(() => ended = true).catch(() => {});
  const gone = async () => {
    await daemon.stop();
    directory[Symbol.dispose]();
  };
  try {
    const url = await eventually(() => `Chromium's DevTools: ${daemon.output()}`, () => {
      if (ended) throw new Error(`Chromium ended: ${daemon.output()}`);
      return daemon.output().match(/^DevTools listening on (ws:\S+)$/m)?.[1];
    }, patience);
    const tools = await devTools(url);
    return {
      visit: (url, proxy, user) => visit(tools, url, proxy, user),
      async [Symbol.asyncDispose]() {
        tools.close();
        await gone();
      },
    };
  } catch (error) {
    await gone();
    throw error;
  }
}

interface DevTools {
  call(method: string, params?: object, sessionId?: string): Promise<Message["result"]>;
  /** Hears the events of a session. */
  listen(sessionId: string, listener: (event: Message) => void): void;
  close(): void;
}

async function devTools(url: string): Promise<DevTools> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, PromiseWithResolvers<Message["result"]>>();
  const listeners = new Map<string, (event: Message) => void>();
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(data);
    const call = waiting.get(message.id ?? 0);
    if (!call) return listeners.get(message.sessionId ?? "")?.(message);
    waiting.delete(message.id!);
    if (message.error) call.reject(new Error(`Chromium says: ${message.error.message}`));
    else call.resolve(message.result);
  };
  socket.onclose = () => waiting.forEach(({ reject }) => reject(new Error("Chromium is gone")));
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`no DevTools at ${url}`));
  });
  let calls = 0;
  return {
    call(method, params, sessionId) {
      const answer = Promise.withResolvers<Message["result"]>();
      waiting.set(++calls, answer);
      socket.send(JSON.stringify({ id: calls, method, params, sessionId }));
      const late = () => answer.reject(new Error(`Chromium has not answered ${method} in ${patience} ms`));
      const alarm = setTimeout(late, patience);
      return answer.promise.finally(() => clearTimeout(alarm));
    },
    listen: (sessionId, listener) => void listeners.set(sessionId, listener),
    close: () => socket.close(),
  };
}

/** Waits for the page first: a script may not have come yet when the page has. A page without a report is an error. */
const report = `new Promise((resolve) => {
  if (document.readyState === "complete") resolve();
  else addEventListener("load", resolve);
}).then(() => typeof report === "undefined" ? Promise.reject(document.body.innerText) : report)`;

async function visit<Report>(
  tools: DevTools,
  url: string,
  proxyServer: string,
  user?: Credentials,
): Promise<Report> {
  // Chromium would go to the loopback directly, where the tests' servers are.
  const context = { proxyServer, proxyBypassList: "<-loopback>" };
  const { browserContextId } = await tools.call("Target.createBrowserContext", context);
  try {
    const { targetId } = await tools.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await tools.call("Target.attachToTarget", { targetId, flatten: true });
    if (user) {
      tools.listen(sessionId, ({ method, params }) => {
        const { requestId, authChallenge } = params;
        const fromProxy = authChallenge?.source === "Proxy";
        const authChallengeResponse = fromProxy
          ? { response: "ProvideCredentials", ...user }
          : { response: "Default" };
        const next = method === "Fetch.authRequired"
          ? tools.call("Fetch.continueWithAuth", { requestId, authChallengeResponse }, sessionId)
          : tools.call("Fetch.continueRequest", { requestId }, sessionId);
        // The page may be gone, or have given up on this request.
        next.catch(() => {});
      });
      await tools.call("Fetch.enable", { handleAuthRequests: true }, sessionId);
    }
    const { errorText } = await tools.call("Page.navigate", { url }, sessionId);
    if (errorText) throw new Error(`${url} through ${proxyServer}: ${errorText}`);
    const evaluation = { expression: report, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await tools.call("Runtime.evaluate", evaluation, sessionId);
    if (exceptionDetails) {
      const { value, description } = exceptionDetails.exception;
      throw new Error(`${url} through ${proxyServer}: ${value ?? description}`);
    }
    return result.value;
  } finally {
    await tools.call("Target.disposeBrowserContext", { browserContextId });
  }
}
