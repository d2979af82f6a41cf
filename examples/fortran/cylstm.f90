! cylstm from Fortran: the calls of cylstm.h that a program needs to load a model and run it, and nothing else.
!
! Fortran's arrays run fastest in the first index: x(inputs, sequences, steps) is what C calls (T, B, I).
module cylstm
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int), parameter :: cylstm_ok = 0

  interface
     integer(c_int) function cylstm_load(path, options, model, message, message_size) bind(C)
       import :: c_int, c_char, c_ptr, c_size_t
       character(kind=c_char), intent(in) :: path(*)
       type(c_ptr), value :: options
       type(c_ptr), intent(out) :: model
       character(kind=c_char), intent(out) :: message(*)
       integer(c_size_t), value :: message_size
     end function cylstm_load

     subroutine cylstm_model_free(model) bind(C)
       import :: c_ptr
       type(c_ptr), value :: model
     end subroutine cylstm_model_free

     integer(c_int64_t) function cylstm_input_width(model) bind(C)
       import :: c_int64_t, c_ptr
       type(c_ptr), value :: model
     end function cylstm_input_width

     integer(c_int64_t) function cylstm_output_width(model) bind(C)
       import :: c_int64_t, c_ptr
       type(c_ptr), value :: model
     end function cylstm_output_width

     integer(c_int) function cylstm_state_new(model, options, state) bind(C)
       import :: c_int, c_ptr
       type(c_ptr), value :: model, options
       type(c_ptr), intent(out) :: state
     end function cylstm_state_new

     subroutine cylstm_state_free(state) bind(C)
       import :: c_ptr
       type(c_ptr), value :: state
     end subroutine cylstm_state_free

     subroutine cylstm_state_reset(state) bind(C)
       import :: c_ptr
       type(c_ptr), value :: state
     end subroutine cylstm_state_reset

     integer(c_int) function cylstm_step(state, x, y) bind(C)
       import :: c_int, c_ptr, c_float
       type(c_ptr), value :: state
       real(c_float), intent(in) :: x(*)
       real(c_float), intent(out) :: y(*)
     end function cylstm_step
  end interface
end module cylstm
