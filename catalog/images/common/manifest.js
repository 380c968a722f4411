// Writes the manifest of an image: what is in it, in which version and hash.
// SPDX-License-Identifier: ISC
// Run by: image-build, with the image's own node.
'use strict';

const fs = require('node:fs');

const [name, alias, description, pkg, version, prefix, built, lockHash,
    treeHash, nodeHash, linkHash, linkVersion, debian, root] =
    process.argv.slice(2);

const lock = JSON.parse(fs.readFileSync(root + prefix + '/package-lock.json'));
const top = lock.packages['node_modules/' + pkg];

process.stdout.write(JSON.stringify({
	schema_version: 1, name, alias, description, version, built, debian,
	lock: {
		sha256: lockHash,
		packages: Object.keys(lock.packages).length - 1,
	},
	packages: [
		{ name: pkg, version, path: prefix, integrity: top.integrity,
		    sha256: treeHash },
		{ name: 'node', version: process.version.slice(1),
		    path: '/opt/node/bin/node', sha256: nodeHash },
		{ name: 'agent-link', version: linkVersion,
		    path: '/usr/lib/agentd/agent-link', sha256: linkHash },
	],
}, null, 2) + '\n');
