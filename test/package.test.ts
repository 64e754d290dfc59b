// The packed package, installed into an empty folder, works there.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Outcome, repositoryRoot, start, temporaryFolder } from "./support.js";

/** Without what an npm that runs these tests has set, such as the settings of this repository. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return { ...Object.fromEntries(kept), npm_config_json: "false", npm_config_loglevel: "notice" };
}

const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT/;

describe("the packed package", () => {
  it("holds no tests, installs, trains on its embedded molecules, and can be imported", async (context) => {
    const folder = temporaryFolder();
    const env = plainEnvironment();
    const npm = (args: readonly string[], cwd: string) => start("npm", args, { cwd, env }).outcome;
    const succeed = async (outcome: Promise<Outcome>) => {
      const result = await outcome;
      assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
      return result;
    };
    await succeed(npm(["pack", "--ignore-scripts", "--pack-destination", folder], repositoryRoot()));
    const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    assert.ok(tarball);

    const project = join(folder, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "name": "project", "private": true, "type": "module" }\n');
    const install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
    const installed = await npm([...install, join(folder, tarball)], project);
    if (installed.code !== 0 && OFFLINE.test(installed.stderr)) {
      context.skip("the npm registry cannot be reached");
      return;
    }
    assert.equal(installed.code, 0, installed.stderr);

    const packed = join(project, "node_modules", "moleblend");
    const names = readdirSync(packed, { recursive: true }).map(String);
    assert.deepEqual(
      names.filter((name) => /\.test\.|^test|^bench|\.map$|^src/.test(name)),
      [],
    );
    const moleblend = (...args: string[]) =>
      succeed(start(join(project, "node_modules", ".bin", "moleblend"), args, { cwd: project, env }).outcome);
    assert.match((await moleblend("--version")).stdout, /^\d+\.\d+\.\d+\n$/);
    assert.match((await moleblend("verify", "--help")).stdout, /moleblend verify/);
    const { stdout } = await moleblend("pretrain", "--steps", "3", "--batch-size", "4", "--json");
    const summary = JSON.parse(stdout) as { finished: boolean; corpus: { molecules: number }; report: string };
    assert.equal(summary.finished, true);
    assert.ok(summary.corpus.molecules > 4400);
    assert.ok(existsSync(join(project, summary.report)));

    writeFileSync(
      join(project, "use.js"),
      'import { openCorpus, pretrainSettings, PRESETS } from "moleblend";\nconsole.log(typeof openCorpus, pretrainSettings("mini").steps > 0, Object.keys(PRESETS).length);\n',
    );
    const used = await succeed(start(process.execPath, ["use.js"], { cwd: project, env }).outcome);
    assert.equal(used.stdout, "function true 3\n");
  });
});
