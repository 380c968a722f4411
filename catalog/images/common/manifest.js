// Writes the manifest of an image: what is in it, in which version and hash.
// SPDX-License-Identifier: ISC
// Run by: image-build.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const { execFileSync } = require('node:child_process');

const [name, alias, description, pkg, version, prefix, built, lockName,
    treeHash, linkHash, linkVersion, debian, root] = process.argv.slice(2);

const NODE = '/opt/node/bin/node';
const lockText = fs.readFileSync(`${root}${prefix}/${lockName}`);
const sha256 = (data) =>
    crypto.createHash('sha256').update(data).digest('hex');
const packages = [];
let count;

if (lockName === 'package-lock.json') {
	const all = JSON.parse(lockText).packages;

	count = Object.keys(all).length - 1;
	packages.push({ name: pkg, version, path: prefix,
	    integrity: all['node_modules/' + pkg].integrity,
	    sha256: treeHash });
} else {
	count = lockText.toString().match(/^[a-z0-9]/gm).length;
	packages.push({ name: pkg, version, path: prefix, sha256: treeHash });
}
if (fs.existsSync(root + NODE))
	packages.push({ name: 'node', version: execFileSync(root + NODE,
	    ['--version']).toString().trim().slice(1), path: NODE,
	    sha256: sha256(fs.readFileSync(root + NODE)) });
packages.push({ name: 'agent-link', version: linkVersion,
    path: '/usr/lib/agentd/agent-link', sha256: linkHash });

process.stdout.write(JSON.stringify({
	schema_version: 1, name, alias, description, version, built, debian,
	lock: { file: lockName, sha256: sha256(lockText), packages: count },
	packages,
}, null, 2) + '\n');
