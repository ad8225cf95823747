/* SPDX-License-Identifier: BSD-2-Clause */
/* First instruction of the guest: the VMM has set the stack pointer, and RDI to the boot page. */
    .section .text.entry, "ax"
    .globl guest_entry
guest_entry:
    xorl %ebp, %ebp
    call guest_main
    ud2
    .section .note.GNU-stack, "", @progbits
