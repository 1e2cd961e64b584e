// Loaded into node before Azurite: storage accounts come from a file, and the process ends with the one that began it.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const { LIGHTLY_INFRA_ACCOUNTS: accounts, LIGHTLY_INFRA_WORKSPACE: workspace } = process.env;

// Azurite itself knows only the accounts of its start. The file says, by name, the base64 keys of each; it is small,
// and replaced as a whole, so that it can be read for each request.
const store = require(path.join(path.dirname(process.argv[1]), "..", "common", "AccountDataStore.js")).default;
store.prototype.getAccount = (name) => {
  const keys = JSON.parse(fs.readFileSync(accounts, "utf8"))[name];
  if (keys === undefined) return undefined;
  const [key1, key2] = keys.map((key) => Buffer.from(key, "base64"));
  return { name, key1, key2 };
};

// All state is in memory and thrown away: there is nothing to wait for.
process.on("SIGTERM", () => process.exit(0));

// Our standard input is a pipe that ends when our parent does, whatever ends it (see sandbox/process.py).
process.stdin.resume().on("end", () => {
  fs.rmSync(workspace, { recursive: true, force: true });
  process.exit(1);
});
