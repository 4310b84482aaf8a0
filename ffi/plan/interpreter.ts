/**
 * The machine code that walks a plan's records, for x86-64.
 *
 * It is a leaf without a stack: all it knows is in registers, and rbx points to the record at hand. So a child that
 * shares its parent's memory disturbs nothing, and the capsule needs no set-up. The listings are what an assembler is
 * given (plan.test.ts compares its output with the bytes); the offsets are those of records.ts.
 */

export const interpreterListing = `
run:    mov   0(%rbx),%eax          # number; writing eax clears the upper half of rax
        mov   4(%rbx),%ebp          # flags, kept by the call
        mov   8(%rbx),%rdi
        mov   16(%rbx),%rsi
        mov   24(%rbx),%rdx
        mov   32(%rbx),%r10
        mov   40(%rbx),%r8
        mov   48(%rbx),%r9
        test  %eax,%eax
        js    operate               # bit 31: not a system call
        syscall
        test  $2,%bpl               # handed over: nothing of the memory that the child shares is read again
        jz    answer
        test  %rax,%rax
        jle   answer
        mov   $231,%eax             # exit_group
        xor   %edi,%edi
        syscall
answer: test  %rax,%rax
        js    failed
        jnz   store
        movslq 84(%rbx),%rcx        # on zero
        jrcxz store
        testb $1,4(%rbx)            # a fork's child must not overwrite its parent's result
        jnz   go
        mov   %rax,56(%rbx)
        jmp   go
store:  mov   %rax,56(%rbx)
        mov   %rax,%rdx
        mov   64(%rbx),%rsi         # list of addresses to copy to
        test  %rsi,%rsi
        jz    next
copy:   lodsq
        btr   $0,%rax
        jc    wide
        test  %rax,%rax
        jz    next
        mov   %edx,(%rax)
        jmp   copy
wide:   mov   %rdx,(%rax)
        jmp   copy
next:   movslq 80(%rbx),%rcx
go:     add   %rcx,%rbx
        jmp   run
failed: mov   %rax,56(%rbx)
        neg   %eax
        mov   96(%rbx),%ecx         # two errnos that are worth another attempt
retry:  cmp   %cx,%ax
        je    again
        shr   $16,%ecx
        jnz   retry
        jmp   judge
again:  decl  92(%rbx)
        jns   run
judge:  mov   72(%rbx),%rcx         # four errnos that count as success
ignore: cmp   %cx,%ax
        je    next
        shr   $16,%rcx
        jnz   ignore
        movslq 88(%rbx),%rcx        # on error
        jmp   go
operate: mov  (%rdi),%rdi
        and   %rsi,%rdi
        test  $1,%al
        lea   (%rdi,%rdx),%rax
        jnz   answer                # load
        cmp   %rdx,%rdi
        mov   %r10,%rax             # select
        cmovne %r8,%rax
        jmp   answer
`;

export const interpreterCode =
  "8b038b6b04488b7b08488b7310488b53184c8b53204c8b43284c8b4b3085c00f88950000000f0540f6c502740e4885c0" +
  "7e09b8e700000031ff0f054885c07847751248634b54e30cf6430401753148894338eb2b488943384889c2488b734048" +
  "85f6741748ad480fbaf00072094885c074098910ebee488910ebe948634b504801cbe979ffffff48894338f7d88b4b60" +
  "6639c87407c1e91075f6eb09ff4b5c0f895bffffff488b4b486639c874cd48c1e91075f548634b58ebc5488b3f4821f7" +
  "a801488d04170f856fffffff4839d74c89d0490f45c0e960ffffff";

/**
 * `long clone_into(nr, a0 … a4, stage)`, in memory of the parent: makes the call (clone3 or clone, with CLONE_VM and
 * CLONE_VFORK), and in the child, which shares that memory, runs the records at `stage`. The parent's stack is not
 * touched by the child; the interpreter follows.
 */
export const cloneListing = `
        mov   %rdi,%rax
        mov   %rsi,%rdi
        mov   %rdx,%rsi
        mov   %rcx,%rdx
        mov   %r8,%r10
        mov   %r9,%r8
        mov   8(%rsp),%r9           # kept by the call, which has at most five arguments
        syscall
        test  %rax,%rax
        jz    child
        ret
child:  mov   %r9,%rbx
`;

export const cloneCode = "4889f84889f74889d64889ca4d89c24d89c84c8b4c24080f054885c07401c34c89cb";

/**
 * The capsule's entry: reads the decimal number of the plan's descriptor from argv[1], maps the plan at its constant
 * address (records.ts: planBase, planSizeMax) and falls into the interpreter.
 */
export const entryListing = `
        mov   16(%rsp),%rsi         # argv[1]
        xor   %r8d,%r8d
digit:  movzbl (%rsi),%eax
        sub   $48,%eax
        js    map                   # the NUL at the end
        imul  $10,%r8d,%r8d
        add   %eax,%r8d
        inc   %rsi
        jmp   digit
map:    mov   $9,%eax               # mmap
        mov   $0x10000000,%edi
        mov   $0x1000000,%esi
        mov   $3,%edx               # PROT_READ | PROT_WRITE
        mov   $0x11,%r10d           # MAP_SHARED | MAP_FIXED
        xor   %r9d,%r9d
        mov   %edi,%ebx             # kept by the call
        syscall
`;

export const entryCode =
  "488b7424104531c00fb60683e830780c456bc00a4101c048ffc6ebecb809000000bf00000010be00000001ba03000000" +
  "41ba110000004531c989fb0f05";
