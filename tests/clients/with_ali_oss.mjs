// The official JavaScript client stores, copies, appends, links, uploads in parts, lists, reads and deletes.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const OSS = createRequire(`${process.env.NODE_FOLDER}/`)("ali-oss");

for (const authorizationV4 of [false, true]) {
  const client = new OSS({
    endpoint: process.env.OSS_ENDPOINT,
    region: "oss-cn-hangzhou",
    bucket: "examplebucket",
    accessKeyId: process.env.OSS_ACCESS_KEY_ID,
    accessKeySecret: process.env.OSS_ACCESS_KEY_SECRET,
    authorizationV4,
  });
  const data = Buffer.from("0123456789");
  const big = Buffer.alloc(300 * 1024, "x");
  await client.put("d/ü", data);
  assert.deepEqual((await client.get("d/ü")).content, data);
  const part = await client.get("d/ü", { headers: { Range: "bytes=3-5" } });
  assert.equal(part.content.toString(), "345");
  assert.equal((await client.append("log", Buffer.from("abc"))).nextAppendPosition, "3");
  await client.append("log", Buffer.from("def"), { position: 3 });
  await client.copy("copy", "log");
  assert.equal((await client.get("copy")).content.toString(), "abcdef");
  await client.putSymlink("link", "log");
  assert.equal((await client.getSymlink("link")).targetName, "log");
  assert.equal((await client.get("link")).content.toString(), "abcdef");
  await client.multipartUpload("parts", big, { partSize: 100 * 1024, parallel: 2 });
  assert.deepEqual((await client.get("parts")).content, big);
  const listed = await client.listV2({ "max-keys": 1000 });
  assert.deepEqual(listed.objects.map((object) => object.name), ["copy", "d/ü", "link", "log", "parts"]);
  assert.equal((await client.head("d/ü")).res.headers["content-length"], "10");
  await client.deleteMulti(["copy", "d/ü", "link"]);
  await client.delete("log");
  await client.delete("parts");
  assert.equal((await client.listV2({ "max-keys": 1000 })).keyCount, 0);
  await assert.rejects(client.get("d/ü"), { code: "NoSuchKey", status: 404 });
}
