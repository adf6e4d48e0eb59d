// The provider of the story in `oidc.rs`: the package `oidc-provider` with the pages that it brings for development.
// It prints its port, is told by a line where it may send browsers back to, and ends when its input does.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// What it tells about not being meant for production.
console.info = console.warn = () => {};

const folder = process.argv[2];
const library = pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`);
const { Provider } = await import(library);

const server = createServer();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

const input = createInterface({ input: process.stdin });
input.once("close", () => process.exit());
input.once("line", (redirectUri) => {
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: [
      {
        client_id: "sheaf",
        client_secret: "hush/hush",
        redirect_uris: [redirectUri],
      },
    ],
    // Only whoever has begun a login may finish it.
    pkce: { required: () => true },
    claims: {
      openid: ["sub"],
      email: ["email", "email_verified"],
      profile: ["given_name", "family_name"],
    },
    // Everybody exists, whatever their password.
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@example.com`,
        email_verified: true,
        given_name: "Ada",
        family_name: "Lovelace",
      }),
    }),
  });
  server.on("request", provider.callback());
  console.log("ready");
});
