#!/usr/bin/env node
// The compiler as forge calls it, made of the one that build.mjs uses: answers `--version` and `--standard-json`.
//
// The law: forge tests what build.mjs compiles, by the same compiler. Every source comes in the input, and nothing is
// read from the disk or fetched.

import { readFileSync } from "node:fs";
import solc from "solc";

const options = process.argv.slice(2);
if (options.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (options.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error("usage: solc.mjs --version | --standard-json");
  process.exit(1);
}
