import { expect, test } from "bun:test";
import { registryCredentials } from "./credentials.ts";

test.each([
  [undefined, undefined],
  [{}, undefined],
  [{ serveraddress: "x" }, undefined],
  [
    { username: "me", password: "p:w" },
    { username: "me", password: "p:w" },
  ],
  [{ auth: btoa("me:p:w") }, { username: "me", password: "p:w" }],
  [{ identitytoken: "i" }, { username: "", password: "", identityToken: "i" }],
  [
    { username: "me", identitytoken: "i" },
    { username: "me", password: "", identityToken: "i" },
  ],
  [
    { auth: btoa("me:"), identitytoken: "i" },
    { username: "me", password: "", identityToken: "i" },
  ],
  [{ registrytoken: "r" }, { username: "", password: "", registryToken: "r" }],
])("%j stands for %j", (auth, expected) => {
  expect(registryCredentials(auth as object)).toEqual(expected as never);
});

test("what is no base64 of a name and a password is refused", () => {
  expect(() => registryCredentials({ auth: "x" })).toThrow("registry credentials: auth is no base64 of user:password");
});
