// A service without a port: it answers requests on the bus. Any NATS client library will do.
"use strict";
const fs = require("node:fs");
const { connect, credsAuthenticator, StringCodec } = require("nats");

async function main() {
  const connection = await connect({
    servers: process.env.CANDELA_BUS_URL,
    authenticator: credsAuthenticator(fs.readFileSync(process.env.CANDELA_BUS_CREDS)),
    name: process.env.CANDELA_INSTANCE,
    maxReconnectAttempts: -1,
  });
  const codec = StringCodec();
  const service = await connection.services.add({
    name: "greeter",
    version: "1.0.0",
    description: "greets by name",
  });
  const group = service.addGroup("greeter");
  group.addEndpoint("hello", (error, message) => {
    if (error) return;
    const name = codec.decode(message.data) || "you";
    message.respond(codec.encode(`Hello ${name}, from ${process.env.CANDELA_INSTANCE}\n`));
  });
  console.log(`greeting on ${connection.getServer()}`);
  process.on("SIGTERM", async () => {
    await connection.drain();
    process.exit(0);
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
