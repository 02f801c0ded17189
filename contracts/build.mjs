// Compiles the contracts and writes artifacts/NAME.json (what only tests deploy: ../tests/artifacts/NAME.json, which is
// packed nowhere); with --check, compares instead of writing; with --input NAME, prints what a block explorer wants for
// verifying it: the compiler's standard JSON input, with every source in it.
//
// The law: an artifact is a pure function of the sources, the libraries and the compiler, all pinned; the bytecode
// carries no metadata hash, so the same input gives the same bytes on every machine. The failure this guards against is
// a committed artifact that is not what the source says: --check then exits 1 and names it.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const PRODUCTS = {
  Lease: "src/Lease.sol",
  TestToken: "src/test/TestToken.sol",
};
const FIXTURES = {
  Credentials: "src/test/Credentials.sol",
  Crier: "src/test/Crier.sol",
  Deliveries: "src/test/Deliveries.sol",
  ERC1967Proxy: "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol",
  Hosting: "src/test/Hosting.sol",
  OldPermitToken: "src/test/Tokens.sol",
  PlainToken: "src/test/Tokens.sol",
  SignedToken: "src/test/Tokens.sol",
  Subscription: "src/test/Subscription.sol",
};
const FOLDERS = [
  { folder: join(ROOT, "artifacts"), contracts: PRODUCTS },
  { folder: join(ROOT, "..", "tests", "artifacts"), contracts: FIXTURES },
];
const SIZE_LIMIT = 24576; // bytes of deployed code, EIP-170

const SETTINGS = {
  // At 200 runs, the compiler's own choice, Lease has 25,059 bytes, 483 beyond the limit; at 50 it has 24,661 still.
  optimizer: { enabled: true, runs: 20 },
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

function stop(message) {
  console.error(message);
  process.exit(1);
}

async function compiler() {
  try {
    return (await import("solc")).default;
  } catch {
    return stop("contracts: the compiler is not installed. Run `make setup` (or `npm ci` in contracts/).");
  }
}

/** Every file the compiler asks for, by import path: ours below src/, libraries below node_modules/. */
function reader(seen) {
  return (path) => {
    const file = join(ROOT, path.startsWith("src/") ? path : join("node_modules", path));
    try {
      const contents = readFileSync(file, "utf8");
      seen.set(path, contents);
      return { contents };
    } catch {
      return { error: `cannot read ${file}` };
    }
  };
}

/** The hash of everything a product is made from: settings and, in order, each source it needs. */
function sourceHash(seen, compilerVersion) {
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ compilerVersion, settings: SETTINGS }));
  for (const path of [...seen.keys()].sort()) hash.update(JSON.stringify([path, seen.get(path)]));
  return `sha256:${hash.digest("hex")}`;
}

/** Errors anywhere, and warnings in our own sources: those of the libraries are not ours to mend. */
function concernsUs(problem) {
  return problem.severity === "error" || (problem.sourceLocation?.file ?? "src/").startsWith("src/");
}

function compile(solc, name, path) {
  const seen = new Map();
  const read = reader(seen);
  const input = { language: "Solidity", sources: { [path]: { content: read(path).contents } }, settings: SETTINGS };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const problems = (output.errors ?? []).filter(concernsUs);
  if (problems.length > 0) stop(problems.map((problem) => problem.formattedMessage).join("\n"));

  const { abi, evm } = output.contracts[path][name];
  const deployedSize = evm.deployedBytecode.object.length / 2;
  if (deployedSize > SIZE_LIMIT) {
    stop(`contracts: ${name} has ${deployedSize} bytes; a chain deploys at most ${SIZE_LIMIT}`);
  }
  return {
    contractName: name,
    compiler: `solc ${solc.version()}`,
    evmVersion: SETTINGS.evmVersion,
    source: path,
    sourceHash: sourceHash(seen, solc.version()),
    deployedSize,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
  };
}

function said(file) {
  return relative(join(ROOT, ".."), file);
}

function committed(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** What is wrong with the committed artifacts: one line for each that is missing, different or without a source. */
function differences(built) {
  const found = [];
  for (const [file, text] of built) {
    const have = committed(file);
    if (have === null) found.push(`${said(file)} is missing`);
    else if (have !== text) found.push(`${said(file)} is not what its source compiles to`);
  }
  const there = FOLDERS.flatMap(({ folder }) => readdirSync(folder).map((name) => join(folder, name)));
  return found.concat(there.filter((file) => !built.has(file)).map((file) => `${said(file)} belongs to no contract`));
}

/** The compiler's input with every source written out: it compiles anywhere, without this folder. */
function standardInput(solc, path) {
  const seen = new Map();
  const read = reader(seen);
  const input = { language: "Solidity", sources: { [path]: { content: read(path).contents } }, settings: SETTINGS };
  solc.compile(JSON.stringify(input), { import: read });
  const paths = [...seen.keys()].sort();
  return { ...input, sources: Object.fromEntries(paths.map((each) => [each, { content: seen.get(each) }])) };
}

/** Writes what is built, or, to check, stops with what differs from it. */
function settle(built, check) {
  if (!check) {
    for (const [file, text] of built) writeFileSync(file, text);
    return;
  }
  const found = differences(built);
  if (found.length > 0) stop(`contracts: ${found.join("; ")}.\nRun \`npm run build\` in contracts/ and commit the result.`);
}

function buildAll(solc) {
  const built = new Map();
  for (const { folder, contracts } of FOLDERS) {
    for (const [name, path] of Object.entries(contracts)) {
      const artifact = compile(solc, name, path);
      built.set(join(folder, `${name}.json`), `${JSON.stringify(artifact, null, 2)}\n`);
      console.log(`${name}: ${artifact.deployedSize} of ${SIZE_LIMIT} bytes, ${artifact.sourceHash}`);
    }
  }
  return built;
}

const [option, name] = process.argv.slice(2);
if (option === "--input" && name in PRODUCTS) {
  console.log(JSON.stringify(standardInput(await compiler(), PRODUCTS[name]), null, 2));
} else if (option === undefined || option === "--check") {
  settle(buildAll(await compiler()), option === "--check");
} else {
  stop(`usage: node build.mjs [--check | --input ${Object.keys(PRODUCTS).join("|")}]`);
}
