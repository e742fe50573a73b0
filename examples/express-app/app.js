"use strict";
const express = require("express");

const app = express();
app.disable("x-powered-by");
app.use(express.json({ limit: "1mb" }));

app.get("/healthz", (request, response) => response.send("ok"));
app.get("/", (request, response) => response.send(`Express on ${process.env.CANDELA_INSTANCE}\n`));
app.get("/hello/:name", (request, response) => response.json({ hello: request.params.name }));
app.post("/echo", (request, response) => response.json(request.body));

const server = app.listen(process.env.PORT, process.env.HOST);
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
