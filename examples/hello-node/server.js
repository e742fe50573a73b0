// An ordinary Node.js web server. All it has to do for candela is listen on $PORT.
const http = require('node:http');

const greeting = process.env.GREETING || 'hello';

const server = http.createServer((request, response) => {
  if (request.url === '/healthz') {
    response.end('ok\n');
    return;
  }
  console.log(`${request.method} ${request.url}`);
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${greeting} from ${process.env.CANDELA_INSTANCE || 'nowhere'}\n`);
});

server.listen(process.env.PORT || 3000, process.env.HOST || '127.0.0.1');

// Before an instance is stopped it gets SIGTERM: finish what is in flight, then go.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
