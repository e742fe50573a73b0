// A gRPC service on @grpc/grpc-js, as its documentation would have one write it. Run by itself it listens on
// $PORT; tests also start it in their own process.

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const { Echo } = grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, 'echo.proto'), { longs: Number })).echo;

const seen = { cancelled: 0, open: 0 };

// Notes that a call is open until it is cancelled, or until the function returned is called. Both may come, in any
// order, and a cancellation may come twice.
function watch(call) {
  const is = { open: true, cancelled: false };
  const close = () => {
    if (is.open) seen.open -= 1;
    is.open = false;
  };
  seen.open += 1;
  call.on('cancelled', () => {
    close();
    if (!is.cancelled) seen.cancelled += 1;
    is.cancelled = true;
  });
  return close;
}

const methods = {
  say(call, callback) {
    const { text } = call.request;
    const trailer = new grpc.Metadata();
    trailer.set('x-trailer', `after ${text}`);
    if (text === 'fail') {
      callback({ code: grpc.status.INVALID_ARGUMENT, details: 'not that: ä/%', metadata: trailer });
      return;
    }
    if (text === 'wait') {
      watch(call);
      return;
    }
    if (text === 'seen') {
      callback(null, { text: JSON.stringify(seen) });
      return;
    }
    if (text === 'crash') process.kill(process.pid, 'SIGKILL');
    const head = new grpc.Metadata();
    head.set('x-head', `before ${text}`);
    head.set('x-got', call.metadata.get('x-sent').join());
    call.sendMetadata(head);
    callback(null, { text: `${text} from ${process.env.CANDELA_INSTANCE ?? 'here'} ${process.env.VERSION ?? ''}` }, trailer);
  },
  count(call) {
    const { value } = call.request;
    let next = 0;
    const more = () => {
      while (next < value) {
        next += 1;
        if (!call.write({ value: next })) { call.once('drain', more); return; }
      }
      call.end();
    };
    more();
  },
  sum(call, callback) {
    let value = 0;
    call.on('data', (number) => { value += number.value; });
    call.on('end', () => callback(null, { value }));
  },
  chat(call) {
    const done = watch(call);
    call.on('data', ({ text }) => call.write({ text: text.toUpperCase() }));
    call.on('end', () => { done(); call.end(); });
  },
  mirror(call, callback) {
    callback(null, { bytes: call.request.bytes });
  },
  flood(call) {
    const piece = Buffer.alloc(1 << 16, 'f');
    let left = call.request.value;
    const more = () => {
      while (left > 0) {
        left -= 1;
        if (!call.write({ bytes: piece })) { call.once('drain', more); return; }
      }
      call.end();
    };
    more();
  },
};

function start(port) {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(Echo.service, methods);
  return new Promise((done, fail) => {
    server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(),
      (error, bound) => (error ? fail(error) : done({ server, port: bound })));
  });
}

module.exports = { Echo, start };

if (require.main === module) {
  start(process.env.PORT).then(({ server }) => {
    process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
  });
}
