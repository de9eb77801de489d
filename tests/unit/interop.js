// The other side of test_interop.c: the token envelope as a Node application writes and reads it, with Node's own crypto.
// Standard input: one JSON request a line. Standard output: one JSON answer a line, in the same order.
'use strict';
const crypto = require('crypto');
const fs = require('fs');

const b64 = (text) => Buffer.from(text, 'base64');

function keyOf(r, salt, iterations) {
  return crypto.pbkdf2Sync(r.key, Buffer.concat([salt, Buffer.from(r.globalSalt, 'utf8')]), iterations, 32, 'sha256');
}

function gcmOpen(key, e, data, aad) {
  const decipher = crypto.createDecipheriv('aes-256-gcm', key, b64(e.iv), { authTagLength: 16 });
  decipher.setAuthTag(b64(e.tag));
  if (aad) decipher.setAAD(aad);
  return Buffer.concat([decipher.update(b64(data)), decipher.final()]);
}

function seal(r) {
  const salt = crypto.randomBytes(32), iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', keyOf(r, salt, r.kdf), iv);
  const data = Buffer.concat([cipher.update(r.token, 'utf8'), cipher.final()]);
  const envelope = {
    encryptedData: data.toString('base64'), iv: iv.toString('base64'), salt: salt.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'), kdf: r.kdf,
  };
  return { envelope: r.asText ? JSON.stringify(envelope) : envelope };
}

function open(r) {
  const e = typeof r.envelope === 'string' ? JSON.parse(r.envelope) : r.envelope;
  return { token: gcmOpen(keyOf(r, b64(e.salt), e.kdf), e, e.encryptedData).toString('utf8') };
}

// The fast envelope, from its description alone: nothing in it is more than PBKDF2, HKDF and AES-256-GCM of the standards.
function openFast(r) {
  const label = Buffer.from('token-health key-encryption key v1:' + r.globalSalt, 'utf8');
  const kek = crypto.pbkdf2Sync(r.key, label, 600000, 32, 'sha256');
  const key = Buffer.from(crypto.hkdfSync('sha256', kek, b64(r.fast.salt), 'token-health record v1', 32));
  const aad = Buffer.concat(r.binding.map((part) => {
    const bytes = Buffer.from(part, 'utf8'), length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    return Buffer.concat([length, bytes]);
  }));
  return { token: gcmOpen(key, r.fast, r.fast.data, aad).toString('utf8') };
}

const work = { seal, open, openFast };
const answers = fs.readFileSync(0, 'utf8').split('\n').filter(Boolean).map((line) => {
  const request = JSON.parse(line);
  try {
    return work[request.op](request);
  } catch (e) {
    return { error: e.message };
  }
});
process.stdout.write(answers.map((answer) => JSON.stringify(answer) + '\n').join(''));
