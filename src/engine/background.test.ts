import { expect, test } from "bun:test";
import { Background } from "./background.ts";

test("the end waits for what runs and what that begins, and not for what never ends", async () => {
  const background = new Background();
  const done: string[] = [];
  const work = async () => {
    await Bun.sleep(1);
    background.run(
      "do more",
      "b",
      Bun.sleep(1).then(() => done.push("more")),
    );
    done.push("first");
  };
  background.run("do it", "a", work());
  await background.close();
  expect(done).toEqual(["first", "more"]);
  background.run("wait for ever", "c", new Promise(() => undefined));
  background.run(
    "go on",
    "d",
    Bun.sleep(2).then(() => done.push("last")),
  );
  await background.close(20);
  expect(done).toEqual(["first", "more", "last"]);
});
