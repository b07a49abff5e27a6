// Sends the message on standard input, as it stands, with nodemailer: HOST PORT RECIPIENT.

import { createRequire } from "node:module";
import { buffer } from "node:stream/consumers";

// NODE_PATH holds the package, and only `require` looks there.
const nodemailer = createRequire(import.meta.url)("nodemailer");
const [host, port, recipient] = process.argv.slice(2);
const transport = nodemailer.createTransport({ host, port: Number(port), name: "client.example", ignoreTLS: true });
const envelope = { from: "sender@client.example", to: [recipient] };
const { response } = await transport.sendMail({ envelope, raw: await buffer(process.stdin) });
console.log(response);
transport.close();
