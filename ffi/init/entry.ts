/**
 * Where the init begins, in x86-64: hands the plan what the kernel has put on the stack (System V ABI: argc, argv, NULL,
 * envp, NULL), and falls into the interpreter. program.test.ts compares the bytes with what an assembler makes of the
 * listing.
 */
export const initEntryListing = `
        mov   $0x10000000,%ebx      # the plan's first record (records.ts: planBase)
        mov   (%rsp),%rcx           # argc
        lea   16(%rsp),%rax         # argv + 1
        lea   16(%rsp,%rcx,8),%rdx  # envp
        mov   (%rax),%rsi
        test  %rsi,%rsi
        jz    hand                  # no argument
        mov   (%rsi),%esi           # more than 4 bytes: the stack ends in a word
        and   $0xffffff,%esi
        cmp   $0x2d2d,%esi          # "--" and its NUL
        jne   hand
        add   $8,%rax
hand:   mov   8(%rbx),%rdi          # the first argument of the first record: where the plan wants them
        mov   %rax,(%rdi)
        mov   %rdx,8(%rdi)
`;

export const initEntryCode =
  "bb00000010488b0c24488d442410488d54cc10488b304885f674148b3681e6ffffff0081fe2d2d000075044883c00848" +
  "8b7b0848890748895708";
