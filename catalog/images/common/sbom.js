// Writes the SBOM of an image: every package of Debian, npm and Python in it.
// SPDX-License-Identifier: ISC
// Run by: image-build. CycloneDX 1.5, without times and serial numbers, so
// that the same packages give the same file.
'use strict';

const fs = require('node:fs');
const { execFileSync } = require('node:child_process');
const path = require('node:path');

const [name, version, prefix, root, linkVersion] = process.argv.slice(2);
const components = [];

function add(type, pkg, ver, purl, hashes)
{
	components.push({ type, name: pkg, version: ver, purl,
	    ...(hashes ? { hashes } : {}) });
}

// What dpkg has installed, not only what was asked for.
function debian()
{
	const text = fs.readFileSync(root + '/var/lib/dpkg/status', 'utf8');

	for (const part of text.split('\n\n')) {
		const get = (key) =>
		    (part.match(new RegExp(`^${key}: (.*)$`, 'm')) ?? [])[1];

		if (get('Status') !== 'install ok installed')
			continue;
		add('library', get('Package'), get('Version'),
		    `pkg:deb/debian/${get('Package')}@` +
		    encodeURIComponent(get('Version')) +
		    `?arch=${get('Architecture')}`);
	}
}

// npm's own list of what it has put there, with the hash of each archive.
function npm(dir)
{
	const file = `${root}${dir}/node_modules/.package-lock.json`;

	if (!fs.existsSync(file))
		return;
	for (const [where, p] of
	    Object.entries(JSON.parse(fs.readFileSync(file)).packages)) {
		const pkg = p.name ?? where.split('node_modules/').pop();
		const [alg, b64] = (p.integrity ?? '').split('-');

		add('library', pkg, p.version, `pkg:npm/${pkg.replace('@',
		    '%40')}@${p.version}`, alg === 'sha512' ? [{
			alg: 'SHA-512',
			content: Buffer.from(b64, 'base64').toString('hex'),
		}] : null);
	}
}

// The metadata of each wheel that pip has unpacked, its hash from our list.
function python(dir)
{
	const lib = `${root}${dir}/lib`;
	const list = `${root}${dir}/requirements.txt`;

	if (!fs.existsSync(list))
		return;
	const pins = new Map([...fs.readFileSync(list, 'utf8').matchAll(
	    /^([a-z0-9.-]+)==\S+ \\\n\s+--hash=sha256:([0-9a-f]{64})/gm)]
	    .map((m) => [m[1], m[2]]));
	for (const entry of fs.readdirSync(lib).sort()) {
		if (!entry.endsWith('.dist-info'))
			continue;
		const text = fs.readFileSync(path.join(lib, entry, 'METADATA'),
		    'utf8');
		const pkg = text.match(/^Name: (.*)$/m)[1].trim().toLowerCase()
		    .replace(/[-_.]+/g, '-');
		const ver = text.match(/^Version: (.*)$/m)[1].trim();

		if (!pins.has(pkg))
			throw new Error(`${pkg} is not pinned`);
		add('library', pkg, ver, `pkg:pypi/${pkg}@${ver}`,
		    [{ alg: 'SHA-256', content: pins.get(pkg) }]);
	}
}

debian();
npm(prefix);
python(prefix);
const node = root + '/opt/node/bin/node';
if (fs.existsSync(node)) {
	const v = execFileSync(node, ['--version']).toString().trim().slice(1);

	add('application', 'node', v, `pkg:generic/node@${v}`);
}
add('application', 'agent-link', linkVersion,
    `pkg:generic/agent-link@${linkVersion}`);
components.sort((a, b) => a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0);
process.stdout.write(JSON.stringify({
	bomFormat: 'CycloneDX', specVersion: '1.5', version: 1,
	metadata: { component: { type: 'container', name, version } },
	components,
}, null, 2) + '\n');
