/** What is copied from where to where: paths of a case's own directory, here and in the container. */

export interface CopyCase {
  name: string;
  flags: string[];
  /** `c:` in front of a path of the container. */
  source: string;
  target: string;
}

/** The same on both sides, with other content; made once, and copied for each case. */
export const template = `
printf "$SIDE file" > file; chmod 640 file; chown 5:6 file
mkdir -p dir/sub empty; printf "$SIDE a" > dir/a; printf "$SIDE b" > dir/sub/b; chmod 750 dir/sub
ln -s file link; ln -s dir dirlink; ln -s none dangling; ln -s a dir/inner; ln dir/a dir/hard
printf "$SIDE old" > old; mkdir -p full/dir full/file.d; printf "$SIDE x" > full/x
touch -h -d @1000000000 file dir/a dir/sub/b link dirlink dangling dir/inner dir/sub dir empty
`;

/** Each in both directions. */
const both = `
file new
file new/
file empty
file old
file link
file dirlink/
file dangling
file none/new
dir new
dir new/
dir empty
dir old
dir full
dir dirlink
dir/. new
dir/. full
dir/. old
link new
link empty
dirlink/ empty
dangling new
none new
file/ new
-L link new
-L link empty
-L dirlink/. empty
`;

/** Out of the container or into it. */
const single = `
c:file new/.
file c:empty/.
c:file full
file c:dirlink
c:file absolute
file c:absolute
file c:old/
c:dir new/.
dir c:dangling
c:dir/sub/.. new
dirlink c:empty
c:dirlink/. empty
dir/ c:new
-L c:dirlink empty
-L dangling c:new
-L c:absolute new
-a file c:new
-a dir c:empty
c:file .
dir c:.
`;

export const cases: CopyCase[] = [
  ...linesOf(both).flatMap((line) => [parse(line, "c:", ""), parse(line, "", "c:")]),
  ...linesOf(single).map((line) => parse(line, "", "")),
];

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function parse(line: string, from: string, to: string): CopyCase {
  const words = line.split(" ");
  const [source, target] = words.splice(-2) as [string, string];
  return {
    name: [...words, from + source, to + target].join(" "),
    flags: words,
    source: from + source,
    target: to + target,
  };
}
