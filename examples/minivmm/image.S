/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest program, as the build made it, inside the VMM. */
    .section .rodata
    .globl guest_image_bytes
    .globl guest_image_bytes_end
guest_image_bytes:
    .incbin "guest.bin"
guest_image_bytes_end:
    .section .note.GNU-stack, "", @progbits
