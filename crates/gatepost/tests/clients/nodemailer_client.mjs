// Sends the message on standard input, as it stands, with nodemailer: HOST PORT RECIPIENT, and CA-FILE for STARTTLS.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { buffer } from "node:stream/consumers";

// NODE_PATH holds the package, and only `require` looks there.
const nodemailer = createRequire(import.meta.url)("nodemailer");
const [host, port, recipient, caFile] = process.argv.slice(2);
const security = caFile ? { requireTLS: true, tls: { ca: readFileSync(caFile) } } : { ignoreTLS: true };
const transport = nodemailer.createTransport({ host, port: Number(port), name: "client.example", ...security });
const envelope = { from: "sender@client.example", to: [recipient] };
const { response } = await transport.sendMail({ envelope, raw: await buffer(process.stdin) });
console.log(response);
transport.close();
