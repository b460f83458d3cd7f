/** The websocket: frames and states as they come; tries again for as long as the page is open. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * @param handlers.frame called with a frame's caption and its JPEG as a Blob
 * @param handlers.state called with a state
 * @param handlers.connected called with true or false
 */
export function connect(handlers) {
  let socket = null;
  let wait = FIRST_WAIT_MS;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    if (socket || document.hidden) return;
    const address = new URL("watch", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = "";
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      wait = FIRST_WAIT_MS;
      handlers.connected(true);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") handlers.state(JSON.parse(data));
      else handlers.frame(...readFrame(data));
    };
    socket.onclose = () => {
      socket = null;
      if (document.hidden) return;
      handlers.connected(false);
      timer = setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    };
  }

  // A page that nobody sees costs the camera nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) socket?.close();
    else open();
  });
  open();
}

/** u32 n, big-endian | n bytes of JSON | JPEG */
function readFrame(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const caption = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return [caption, new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" })];
}
