/** The guest with the tests that its short form leaves out. */
import "./guest.test.ts";
